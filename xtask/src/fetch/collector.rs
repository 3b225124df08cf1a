//! An OpenTelemetry Collector with its ClickHouse exporter, beside which `bench pipeline` measures: of the modules that `xtask/collector` names and
//! its go.sum pins, built into the cache.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::go;
use crate::{place, process};

/// Where it is, built if need be: another one for other sources.
///
/// # Errors
/// When Go is missing, or it does not build.
pub(crate) fn required() -> Result<PathBuf> {
    let source = place::workspace().join("xtask/collector");
    let dir = place::cache()?.join(format!("otelcol-{}", version(&source)?));
    let program = dir.join("otelcol");
    if program.is_file() {
        println!("have the OpenTelemetry Collector ({})", program.display());
        return Ok(program);
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}: set SYNCLINE_CACHE", dir.display()))?;
    let scratch = tempfile::tempdir_in(&dir).with_context(|| format!("cannot write in {}", dir.display()))?;
    let built = scratch.path().join("otelcol");
    let mut command = Command::new("go");
    command.current_dir(&source).env("GOTOOLCHAIN", go::NEWEST).env("GOWORK", "off").env("GOFLAGS", "-mod=readonly");
    command.args(["build", "-trimpath", "-o"]).arg(&built).arg(".");
    println!("building the OpenTelemetry Collector, which takes some minutes");
    process::capture(&mut command).context("the OpenTelemetry Collector: check the network and GOPROXY")?;
    fs::rename(&built, &program).with_context(|| format!("cannot put {} in place", program.display()))?;
    println!("built the OpenTelemetry Collector ({})", program.display());
    Ok(program)
}

/// Of its sources and its modules and of Go: what of these changes makes another program.
fn version(source: &std::path::Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for name in ["main.go", "go.mod", "go.sum"] {
        let path = source.join(name);
        hasher.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    hasher.update(go::NEWEST);
    Ok(hasher.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_module_is_another_version() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        ["main.go", "go.mod", "go.sum"].iter().for_each(|name| put(name, "1"));
        let first = version(dir.path()).unwrap();
        assert_eq!(first, version(dir.path()).unwrap());
        put("go.sum", "2");
        assert_ne!(first, version(dir.path()).unwrap());
        fs::remove_file(dir.path().join("go.mod")).unwrap();
        assert!(format!("{:#}", version(dir.path()).unwrap_err()).contains("go.mod"));
    }
}
