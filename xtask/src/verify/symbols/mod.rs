//! `cargo xtask verify symbols`: functions, files, lines and inlined calls of every byte of code of real Go programs.
//!
//! Each program is asked what its own runtime knows of each byte (`xtask/symbols/walk`), and `go tool addr2line` what it finds there: the
//! physical function, with the file and line of the innermost call. Both are compared with what syncline-gosym reads from the file,
//! with its cache and without. A difference is explained by a rule of the runtime that is named here, or it is an error.

mod addr2line;
mod differences;
mod own_runtime;
mod program;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use syncline_gosym::GoBinary;

use crate::bench::{scratch, table, whole};
use crate::fetch;
use differences::Differences;
use program::Program;

/// What `cargo xtask verify symbols` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// The programs: caddy needs Go 1.25 or newer
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["library", "caddy"])]
    programs: Vec<Which>,
    /// The Go versions to build them with, such as go1.25.5; without it the library with all that are tested, and caddy with the newest
    #[arg(long, value_delimiter = ',')]
    go: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Much of the standard library
    Library,
    /// Caddy with its standard modules
    Caddy,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Library => "library",
            Self::Caddy => "caddy",
        }
    }

    /// The Go versions to build it with when none is asked for.
    fn versions(self) -> Vec<String> {
        match self {
            Self::Library => fetch::GO_VERSIONS.map(str::to_owned).to_vec(),
            Self::Caddy => vec![fetch::NEWEST_GO.to_owned()],
        }
    }
}

/// What was compared of a program.
#[derive(Default)]
struct Compared {
    /// Bytes of code.
    bytes: u64,
    functions: usize,
    /// Calls that equal the runtime's, at all bytes together, and those of them that were expanded in place.
    calls: u64,
    inlined: u64,
    /// Bytes of which the runtime told only the innermost call.
    only_innermost: u64,
    /// Bytes at which addr2line said the same.
    addr2line: u64,
    differences: Differences,
}

/// # Errors
/// When a difference is not explained, or something cannot be built or started.
pub(crate) fn run(options: &Options) -> Result<()> {
    fetch::run(fetch::Part::Go)?;
    let dir = scratch()?;
    let mut rows = Vec::new();
    let mut all = Differences::default();
    for &which in &options.programs {
        let versions = if options.go.is_empty() { which.versions() } else { options.go.clone() };
        for go in &versions {
            let program = Program::build(which, go, dir.path())?;
            let compared = compare(&program)?;
            eprintln!("{} differences of it are not explained", compared.differences.unexplained());
            rows.push(row(&format!("{}, {go}", which.name()), &compared));
            all.add(&compared.differences);
        }
    }
    let headings = [
        "program",
        "bytes of code",
        "functions",
        "calls equal",
        "of them inlined",
        "bytes with the innermost call only",
        "bytes equal to addr2line",
        "explained",
        "unexplained",
    ];
    table::print(&headings, &rows);
    print!("{all}");
    ensure!(
        all.unexplained() == 0,
        "{} bytes of code have symbols that differ without a known cause",
        all.unexplained()
    );
    Ok(())
}

fn compare(program: &Program) -> Result<Compared> {
    let bytes = std::fs::read(&program.path)?;
    let binary = GoBinary::parse(&bytes)?;
    let mut compared = Compared::default();
    own_runtime::compare(program, &binary, &mut compared)?;
    addr2line::compare(program, &binary, &mut compared)?;
    ensure!(
        compared.functions > 1000,
        "only {} functions were found in {}",
        compared.functions,
        program.path.display()
    );
    Ok(compared)
}

fn row(name: &str, compared: &Compared) -> Vec<String> {
    let of = |number: u64| whole(number as f64);
    vec![
        name.to_owned(),
        of(compared.bytes),
        of(compared.functions as u64),
        of(compared.calls),
        of(compared.inlined),
        of(compared.only_innermost),
        of(compared.addr2line),
        of(compared.differences.explained()),
        of(compared.differences.unexplained()),
    ]
}
