//! Compiles `c/syncline.bpf.c` with clang into one BPF object that `src/lib.rs` embeds.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What to type when a part of the toolchain is missing.
const INSTALL_HINT: &str = "install the Debian packages `clang` and `libbpf-dev` (apt-get install clang libbpf-dev), \
                            or name another compiler with CLANG=/path/to/clang";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-env-changed=CLANG");
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").map_err(|e| e.to_string())?;
    if arch != "x86_64" {
        return Err(format!("the BPF programs read amd64 registers; target {arch} is not supported yet"));
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run this through cargo")?);
    compile(&find_clang()?, &out.join("syncline.bpf.o"))
}

/// `$CLANG` if set, else the first clang on the PATH, with or without Debian's version suffix.
fn find_clang() -> Result<String, String> {
    if let Ok(named) = env::var("CLANG") {
        return if answers(&named) { Ok(named) } else { Err(format!("CLANG={named} does not run\n{INSTALL_HINT}")) };
    }
    let versioned = (14..=19).rev().map(|v| format!("clang-{v}"));
    std::iter::once("clang".to_owned())
        .chain(versioned)
        .find(|name| answers(name))
        .ok_or_else(|| format!("clang was not found; it compiles the eBPF programs\n{INSTALL_HINT}"))
}

fn answers(compiler: &str) -> bool {
    Command::new(compiler).arg("--version").output().is_ok_and(|o| o.status.success())
}

fn compile(clang: &str, object: &Path) -> Result<(), String> {
    let output = Command::new(clang)
        // mcpu=v3: atomic exchange (Linux 5.12). -g: BTF, which the map definitions need.
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"])
        .args(["-fdebug-compilation-dir", "."])
        // asm/types.h lives in a directory per architecture, which -target bpf does not search.
        .args(["-idirafter", "/usr/include/x86_64-linux-gnu"])
        .args(["-c", "c/syncline.bpf.c", "-o"])
        .arg(object)
        .output()
        .map_err(|e| format!("{clang} cannot be run: {e}\n{INSTALL_HINT}"))?;
    if output.status.success() { Ok(()) } else { Err(explain(clang, &String::from_utf8_lossy(&output.stderr))) }
}

fn explain(clang: &str, stderr: &str) -> String {
    let missing_header = stderr.contains("file not found");
    let missing_target = stderr.contains("unable to create target") || stderr.contains("unknown target");
    let hint = if missing_header || missing_target { INSTALL_HINT } else { "" };
    format!("{clang} could not compile the eBPF programs:\n{stderr}\n{hint}")
}
