//! Builds the Go fixture with several toolchains and in several ways, once per source: builds are kept in Cargo's
//! directory for test files.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::panic, reason = "helpers of tests")]

pub(crate) mod exercise;
pub(crate) mod synthetic;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use syncline_gosym::{GoBinary, Machine};

/// The oldest and the newest supported Go, and one between.
const VERSIONS: &str = "1.21.13,1.24.11,1.27.3";

/// The Go versions to test with; `SYNCLINE_GOSYM_GO_VERSIONS=1.22.10,1.26.8` chooses others.
pub(crate) fn versions() -> Vec<String> {
    let chosen = std::env::var("SYNCLINE_GOSYM_GO_VERSIONS").unwrap_or_else(|_| VERSIONS.to_owned());
    chosen.split(',').map(str::to_owned).collect()
}

/// For what and how the fixture is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) machine: Machine,
    pub(crate) pie: bool,
    pub(crate) cgo: bool,
    pub(crate) stripped: bool,
}

pub(crate) const PLAIN: Variant = Variant { machine: Machine::Amd64, pie: false, cgo: false, stripped: false };

impl Variant {
    /// The same build with its symbols.
    pub(crate) fn twin(self) -> Variant {
        Variant { stripped: false, ..self }
    }

    fn name(self) -> String {
        let part = |on, name| if on { name } else { "" };
        let how = [part(self.pie, "-pie"), part(self.cgo, "-cgo"), part(self.stripped, "-stripped")].concat();
        format!("fixture-{}{how}", self.machine)
    }
}

/// All ways in which the fixture is built for a version. Up to 1.25 only an externally linked PIE hides the function table.
pub(crate) fn variants(version: &str) -> Vec<Variant> {
    let mut variants = Vec::new();
    for machine in [Machine::Amd64, Machine::Arm64] {
        for (pie, cgo) in [(false, false), (true, false), (true, true)] {
            if !cgo || (!version.starts_with("1.21.") && c_is_here(machine)) {
                variants.extend([false, true].map(|stripped| Variant { machine, pie, cgo, stripped }));
            }
        }
    }
    variants
}

/// Debian's cross-compiler, of the package gcc-aarch64-linux-gnu.
const ARM64_COMPILER: &str = "aarch64-linux-gnu-gcc";
/// Where the libraries for its programs are.
const ARM64_LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Whether C code can be compiled for a machine; says so when not.
fn c_is_here(machine: Machine) -> bool {
    let here = machine == Machine::Amd64 || answers(ARM64_COMPILER);
    if !here {
        println!("skipped: no `{ARM64_COMPILER}` on PATH, so no arm64 program with C code can be built");
    }
    here
}

/// A command that runs a fixture, one for another machine under qemu; None where there is none, and it says so.
pub(crate) fn runner_of(program: &Path, machine: Machine) -> Option<Command> {
    if Machine::NATIVE == Some(machine) {
        return Some(Command::new(program));
    }
    let Some(qemu) = ["qemu-aarch64-static", "qemu-aarch64"].into_iter().find(|name| answers(name)) else {
        println!("skipped: no `qemu-aarch64-static` on PATH, so no arm64 program can be run");
        return None;
    };
    let mut command = Command::new(qemu);
    command.args(["-L", ARM64_LIBRARIES]).arg(program);
    Some(command)
}

fn answers(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Whether the Go tests can run; says so when not.
pub(crate) fn go_is_here() -> bool {
    let here = Command::new("go").arg("version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !here {
        println!("skipped: no `go` on PATH, so no Go program can be built");
    }
    here
}

/// The path of the fixture, built with a version in a variant.
pub(crate) fn fixture(version: &str, variant: Variant) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program");
    let directory =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gosym-{:016x}", hash_of(&source))).join(version);
    let target = directory.join(variant.name());
    if !target.exists() {
        std::fs::create_dir_all(&directory).unwrap();
        build(version, variant, &source, &target);
    }
    target
}

pub(crate) fn fixture_bytes(version: &str, variant: Variant) -> Vec<u8> {
    std::fs::read(fixture(version, variant)).unwrap()
}

fn build(version: &str, variant: Variant, source: &Path, target: &Path) {
    // Another test process must never see half a program.
    let unfinished = target.with_extension(std::process::id().to_string());
    let mut command = go(version);
    command.env("GOOS", "linux").env("GOARCH", variant.machine.name());
    if variant.cgo && variant.machine == Machine::Arm64 {
        command.env("CC", ARM64_COMPILER);
    }
    command.current_dir(source).env("CGO_ENABLED", if variant.cgo { "1" } else { "0" }).arg("build");
    command.arg(if variant.pie { "-buildmode=pie" } else { "-buildmode=exe" });
    command.arg(if variant.stripped { "-ldflags=-s -w" } else { "-ldflags=" });
    let output = command.arg("-o").arg(&unfinished).arg(".").output().unwrap();
    assert!(output.status.success(), "go {version} build: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(unfinished, target).unwrap();
}

fn hash_of(directory: &Path) -> u64 {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.file_name().hash(&mut hasher);
        std::fs::read(file).unwrap().hash(&mut hasher);
    }
    hasher.finish()
}

/// The `go` command of a version, free of the caller's settings.
pub(crate) fn go(version: &str) -> Command {
    let mut command = Command::new("go");
    command.env("GOTOOLCHAIN", format!("go{version}")).env("GOWORK", "off").env("GOFLAGS", "-buildvcs=false");
    command
}

/// Runs a command with `input` and gives its standard output.
pub(crate) fn output_of(command: &mut Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// (name, address, size) of the functions, as `go tool nm` tells them.
pub(crate) fn functions(version: &str, path: &Path) -> Vec<(String, u64, u64)> {
    let listing = output_of(go(version).args(["tool", "nm", "-size"]).arg(path), "");
    let mut functions = Vec::new();
    for line in listing.lines() {
        let mut words = line.split_whitespace();
        let (Some(address), Some(size), Some("T" | "t"), Some(name)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        functions.push((name.to_owned(), u64::from_str_radix(address, 16).unwrap(), size.parse().unwrap()));
    }
    assert!(functions.len() > 500, "go tool nm lists {} functions", functions.len());
    functions
}

/// The address of a variable, as `go tool nm` tells it.
pub(crate) fn data_symbol(version: &str, path: &Path, name: &str) -> u64 {
    let listing = output_of(go(version).args(["tool", "nm"]).arg(path), "");
    let words = || listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = words().find(|words| matches!(words[..], [_, "B" | "b" | "D" | "d", symbol] if symbol == name));
    u64::from_str_radix(found.unwrap()[0], 16).unwrap()
}

/// Runs a test on every version and variant.
pub(crate) fn for_each_build(test: impl Fn(&str, Variant, &GoBinary<'_>)) {
    if !go_is_here() {
        return;
    }
    for version in &versions() {
        for variant in variants(version) {
            let bytes = fixture_bytes(version, variant);
            let binary = GoBinary::parse(&bytes).unwrap_or_else(|error| panic!("{version} {variant:?}: {error}"));
            test(version, variant, &binary);
        }
    }
}

/// 27 of `1.27.3`.
pub(crate) fn minor(version: &str) -> u16 {
    version.split('.').nth(1).unwrap().parse().unwrap()
}
