//! What `go tool addr2line` says of a program's code, beside what is read from the file.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::ops::Range;
use std::process::{ChildStdin, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use syncline_gosym::{FrameCache, GoBinary, Symbolizer};

use super::Compared;
use super::differences::Cause;
use super::program::Program;

/// Bytes of memory for the functions that are kept.
const CACHE: usize = 1 << 20;

/// Compares all bytes of code: the physical function with its whole name, and the place of the innermost call.
///
/// # Errors
/// When addr2line cannot be asked.
pub(super) fn compare(program: &Program, binary: &GoBinary<'_>, compared: &mut Compared) -> Result<()> {
    eprintln!("asking go tool addr2line of {}", program.path.display());
    let mut command = program.tool("addr2line");
    let mut child = command.arg(&program.path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let input = child.stdin.take().context("no pipe")?;
    let code = program.code.clone();
    let asking = thread::spawn(move || ask(input, code));
    let output = BufReader::with_capacity(1 << 20, child.stdout.take().context("no pipe")?);
    compare_answers(output, program.code.clone(), binary, compared)?;
    let status = child.wait()?;
    ensure!(status.success(), "go tool addr2line failed ({status})");
    asking.join().map_err(|_| anyhow::anyhow!("go tool addr2line could not be asked"))??;
    Ok(())
}

fn ask(input: ChildStdin, addresses: Range<u64>) -> Result<()> {
    let mut input = BufWriter::with_capacity(1 << 20, input);
    for address in addresses {
        writeln!(input, "{address:#x}")?;
    }
    Ok(input.flush()?)
}

fn compare_answers(
    mut answers: impl BufRead,
    addresses: Range<u64>,
    binary: &GoBinary<'_>,
    compared: &mut Compared,
) -> Result<()> {
    let symbolizer = binary.symbolizer()?;
    let mut cache = FrameCache::new(symbolizer, CACHE);
    let (mut name, mut place) = (String::new(), String::new());
    for address in addresses {
        name.clear();
        place.clear();
        answers.read_line(&mut name)?;
        ensure!(answers.read_line(&mut place)? > 0, "go tool addr2line says nothing of {address:#x}");
        let (name, place) = (name.trim_end(), place.trim_end());
        let Some(function) = symbolizer.function_at(address) else {
            compared.differences.explain(Cause::NoGoFunction);
            continue;
        };
        let ours =
            cache.frames(address).first().map(|frame| format!("{}:{}", frame.file, frame.line)).unwrap_or_default();
        if (function.name.as_str(), ours.as_str()) == (name, place) {
            compared.addr2line += 1;
        } else if (function.name.as_str(), ours.as_str(), place) == (name, "?:0", ":-1") {
            compared.differences.explain(Cause::Padding);
        } else if function.name == name && ours == "?:0" && is_without_lines(&symbolizer, function.entry) {
            compared.differences.explain(Cause::NoProgram);
        } else {
            let function = function.name;
            compared
                .differences
                .protest(|| format!("{address:#x}: ours {function} {ours}, addr2line's {name} {place}"));
        }
    }
    Ok(())
}

/// Whether not even the first byte of a function has a line. (That of the others has none either is what the runtime says of them.)
fn is_without_lines(symbolizer: &Symbolizer<'_>, entry: u64) -> bool {
    symbolizer.frames(entry).first().is_some_and(|frame| frame.file == "?" && frame.line == 0)
}
