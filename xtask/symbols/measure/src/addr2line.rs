//! `go tool addr2line`: each run reads the whole program again, so that what is measured is the difference between many addresses and one.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{addresses, text_segment};

/// The kernel shows CPU time in USER_HZ, which is 100 a second wherever we run.
const S_PER_TICK: f64 = 0.01;

pub(crate) fn measure(tool: &Path, binary: &Path, count: usize) -> Result<Value> {
    let text = text_segment(binary)?;
    let mut some = addresses(text.vaddr..text.vaddr + text.size, count)?;
    let start = children_s()?;
    ask(tool, binary, some.get(..1).unwrap_or_default())?;
    let one = children_s()?;
    some.sort_unstable();
    ask(tool, binary, &some)?;
    let all = children_s()?;
    Ok(json!({ "open_ms": (one - start) * 1e3, "distinct_s": (all - one) - (one - start) }))
}

/// What it says goes nowhere.
fn ask(tool: &Path, binary: &Path, addresses: &[u64]) -> Result<()> {
    let mut child = Command::new(tool).arg(binary).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut input = BufWriter::new(child.stdin.take().context("no pipe")?);
    for address in addresses {
        writeln!(input, "{address:#x}")?;
    }
    input.flush()?;
    drop(input);
    let status = child.wait()?;
    ensure!(status.success(), "{} failed ({status})", tool.display());
    Ok(())
}

/// CPU time, in seconds, of all children that have ended: fields 16 and 17 of proc_pid_stat(5).
fn children_s() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = text.rsplit_once(')').context("/proc/self/stat is unreadable")?;
    let ticks = rest.split_whitespace().skip(13).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()? as f64 * S_PER_TICK)
}
