//! A real chronyd for tests, which touches no clock (`-x`).

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where `cargo xtask test` has unpacked one, or where an installed one is.
fn path() -> PathBuf {
    std::env::var_os("SYNCLINE_CHRONYD").map_or_else(|| "/usr/sbin/chronyd".into(), PathBuf::from)
}

/// Whether there is one; where there is none it says so. `SYNCLINE_REQUIRE_CHRONY=1` makes that a failure.
pub(crate) fn is_here() -> bool {
    let path = path();
    if path.is_file() {
        return true;
    }
    println!("skipped: no chronyd at {} (cargo xtask fetch chrony)", path.display());
    let required = std::env::var("SYNCLINE_REQUIRE_CHRONY").is_ok_and(|value| value == "1");
    assert!(!required, "SYNCLINE_REQUIRE_CHRONY=1 and no chronyd at {}", path.display());
    false
}

pub(crate) struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs in the foreground, with `source` as its configuration, and answers commands at the address given back.
pub(crate) fn start(dir: &Path, source: &str) -> (Daemon, SocketAddr) {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = |name: &str| dir.join(name).display().to_string();
    let config = format!(
        "{source}\nport 0\ncmdport {}\nbindcmdaddress 127.0.0.1\nbindcmdaddress {}\npidfile {}\ndriftfile {}\n",
        free.port(),
        file("chronyd.sock"),
        file("chronyd.pid"),
        file("drift")
    );
    std::fs::write(dir.join("chrony.conf"), config).unwrap();
    let arguments = ["-x", "-d", "-u", "root", "-f", &file("chrony.conf")].map(str::to_owned);
    let child = Command::new(path()).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    (Daemon(child), free)
}
