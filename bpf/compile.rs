//! Runs clang on `c/syncline.bpf.c`. Shared by the build script and by the test that compiles for the other processor.

use std::env;
use std::path::Path;
use std::process::Command;

/// What to type when a part of the toolchain is missing.
pub(crate) const INSTALL_HINT: &str = "install the Debian packages `clang` and `libbpf-dev` (apt-get install clang \
                                       libbpf-dev), or name another compiler with CLANG=/path/to/clang";

/// Where Debian keeps asm/types.h. All processors have the same one, the kernel's asm-generic: any will do.
const ASM_HEADERS: [&str; 2] = ["/usr/include/x86_64-linux-gnu", "/usr/include/aarch64-linux-gnu"];

/// Compiles the programs that read the registers of a processor, by Rust's name for it, from the package's directory.
///
/// # Errors
/// If the processor is not supported, clang is missing, or does not like what it reads.
pub(crate) fn compile(target_arch: &str, object: &Path) -> Result<(), String> {
    let registers = match target_arch {
        "x86_64" => "-D__TARGET_ARCH_x86",
        "aarch64" => "-D__TARGET_ARCH_arm64",
        other => {
            return Err(format!(
                "the BPF programs read registers of x86_64 or aarch64; target {other} is not supported"
            ));
        }
    };
    let clang = find_clang()?;
    let mut command = Command::new(&clang);
    // mcpu=v3: atomic exchange (Linux 5.12). -g: BTF, which the map definitions need.
    command.args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]);
    command.args(["-fdebug-compilation-dir", ".", registers]);
    for headers in ASM_HEADERS {
        command.args(["-idirafter", headers]);
    }
    command.args(["-c", "c/syncline.bpf.c", "-o"]).arg(object);
    let output = command.output().map_err(|e| format!("{clang} cannot be run: {e}\n{INSTALL_HINT}"))?;
    if output.status.success() { Ok(()) } else { Err(explain(&clang, &String::from_utf8_lossy(&output.stderr))) }
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

fn explain(clang: &str, stderr: &str) -> String {
    let missing_header = stderr.contains("file not found");
    let missing_target = stderr.contains("unable to create target") || stderr.contains("unknown target");
    let hint = if missing_header || missing_target { INSTALL_HINT } else { "" };
    format!("{clang} could not compile the eBPF programs:\n{stderr}\n{hint}")
}
