//! A real chronyd that touches no clock (`-x`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use syncline_claims::{Chrony, ChronyError};

/// Where `cargo xtask test` has unpacked one, or where an installed one is.
fn chronyd_path() -> PathBuf {
    std::env::var_os("SYNCLINE_CHRONYD").map_or_else(|| "/usr/sbin/chronyd".into(), PathBuf::from)
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs in the foreground, with `source` as its configuration, and answers commands at the address given back.
fn start(dir: &Path, source: &str) -> (Daemon, SocketAddr) {
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
    let child =
        Command::new(chronyd_path()).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    (Daemon(child), free)
}

fn answer(chrony: Chrony) -> Result<Option<syncline_claims::UtcClaim>, ChronyError> {
    let begun = Instant::now();
    loop {
        match chrony.ask(Duration::from_millis(200)) {
            Err(ChronyError::Silent { .. }) if begun.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            said => return said,
        }
    }
}

#[test]
fn a_real_chronyd_says_what_it_claims_and_when_it_has_nothing_to_claim() {
    if !chronyd_path().is_file() {
        println!("skipped: no chronyd at {} (cargo xtask fetch chrony)", chronyd_path().display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (daemon, address) = start(dir.path(), "local stratum 10");
    // Its own clock is its source: it claims no error.
    let claim = answer(Chrony::at(address)).unwrap().unwrap();
    assert!(claim.utc_minus_wall_ns.abs() < 1_000_000 && claim.bound_ns < 1_000_000_000, "{claim:?}");
    drop(daemon);
    assert!(matches!(Chrony::at(address).ask(Duration::from_millis(200)), Err(ChronyError::Silent { .. })));
    let (_daemon, address) = start(dir.path(), "server 127.0.0.1 port 9");
    assert_eq!(answer(Chrony::at(address)).unwrap(), None, "it has no source that answers");
}
