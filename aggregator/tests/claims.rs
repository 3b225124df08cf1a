//! What nodes say of their wall clocks, beside a real chronyd that says what UTC is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::agent::{SimulatedAgent, Uplink};
use support::program::{Program, ask, store};
use support::{engine_is_here, eventually};
use syncline_claims::Chrony;
use syncline_event::{ClaimSource, ClockClaim};
use syncline_sim::NodeSettings;

/// Where `cargo xtask test` has unpacked one, or where an installed one is.
fn chronyd_path() -> PathBuf {
    std::env::var_os("SYNCLINE_CHRONYD").map_or_else(|| "/usr/sbin/chronyd".into(), PathBuf::from)
}
const SECOND: i64 = 1_000_000_000;

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A chronyd that touches no clock (`-x`) and claims that this machine's is right.
async fn chronyd(dir: &Path) -> (Daemon, SocketAddr) {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = |name: &str| dir.join(name).display().to_string();
    let config = format!(
        "local stratum 10\nport 0\ncmdport {}\nbindcmdaddress 127.0.0.1\nbindcmdaddress {}\npidfile {}\ndriftfile {}\n",
        free.port(),
        file("chronyd.sock"),
        file("chronyd.pid"),
        file("drift")
    );
    std::fs::write(dir.join("chrony.conf"), config).unwrap();
    let arguments = ["-x", "-d", "-u", "root", "-f", &file("chrony.conf")].map(str::to_owned);
    let child =
        Command::new(chronyd_path()).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let daemon = Daemon(child);
    let answers = async || Chrony::at(free).ask(Duration::from_millis(100)).is_ok_and(|claim| claim.is_some());
    eventually("chronyd answers", answers).await;
    (daemon, free)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_contradicts_the_probes_is_reported_with_both_numbers() {
    if !engine_is_here() || !chronyd_path().is_file() {
        println!("skipped: no engine, or no chronyd at {} (cargo xtask fetch chrony)", chronyd_path().display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_daemon, chrony) = chronyd(dir.path()).await;
    let (store_dir, chrony) = (dir.path().join("store"), chrony.to_string());
    std::fs::create_dir(&store_dir).unwrap();
    let arguments = ["--region", "us", "--listen", "127.0.0.1:0", "--chrony", &chrony, "--store-dir"];
    let program = Program::start(dir.path(), &[&arguments[..], &[store_dir.to_str().unwrap()]].concat());
    let store = store(&store_dir).await;
    let mut agent = SimulatedAgent::new("n1", "us", 11, NodeSettings::default());
    let mut uplink = Uplink::connect(&program.url()).await;
    for _ in 0..3 {
        uplink.store(&agent.next_batch(1)).await;
    }
    // UTC is the reference here, as far as chronyd claims; the node's wall clock is off by what the simulation made it.
    let mut claims = async |off_ns: i64, said: bool| {
        let mut batch = agent.next_batch(1);
        let true_ns = -agent.wall_minus_reference_ns();
        let utc_minus_wall_ns = said.then_some((true_ns + off_ns, 100_000_000));
        batch.claims = vec![ClockClaim { source: ClaimSource::Chrony, at: batch.sealed_at, utc_minus_wall_ns }];
        uplink.store(&batch).await;
    };
    // The aggregator may not have asked its chronyd yet.
    let last = async || ask(&store, "SELECT verdict FROM clock_claims ORDER BY mono_ns DESC LIMIT 1").await;
    let agrees = async || {
        claims(0, true).await;
        let verdict = last().await;
        assert!(["consistent", "unknown"].contains(&verdict.as_str()), "a true claim is {verdict}");
        verdict == "consistent"
    };
    eventually("a true claim is consistent", agrees).await;
    claims(2 * SECOND, true).await;
    let row = ask(
        &store,
        "SELECT verdict, claimed_low_ns > measured_high_ns, claimed_high_ns - claimed_low_ns >= 200000000, source, synchronized FROM clock_claims ORDER BY mono_ns DESC LIMIT 1",
    )
    .await;
    assert_eq!(row, "contradicted\t1\t1\tchrony\t1");
    claims(2 * SECOND, true).await;
    claims(0, false).await;
    assert_eq!(last().await, "unknown");
    let told = program.log().matches("what the node says of its wall clock is false").count();
    assert_eq!(told, 1, "once, and with both numbers");
    assert!(program.log().contains("claimed_ns=(") && program.log().contains("measured_ns=("));
}
