//! Debian's real Prometheus and Alertmanager, on the loopback.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::eventually;

/// A daemon that answers over HTTP. Dropping it ends it.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where one of the programs is; none where tests with it have to be skipped, which is said. With
/// `SYNCLINE_REQUIRE_PROMETHEUS=1` they fail.
pub(crate) fn path(program: &str) -> Option<PathBuf> {
    let set = std::env::var_os("SYNCLINE_PROMETHEUS").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/syncline"));
    let cache = std::env::var_os("SYNCLINE_CACHE").map(PathBuf::from).or(home);
    let cached = cache.map(|cache| cache.join("prometheus/usr/bin"));
    let all = [set, cached, Some("/usr/bin".into())].into_iter().flatten().map(|dir| dir.join(program));
    let found = all.into_iter().find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: no {program} here (cargo xtask fetch prometheus)");
        let is_required = std::env::var("SYNCLINE_REQUIRE_PROMETHEUS").is_ok_and(|value| value == "1");
        assert!(!is_required, "SYNCLINE_REQUIRE_PROMETHEUS=1 and no {program}");
    }
    found
}

/// An Alertmanager that posts all it notifies of to `hook`, at once.
pub(crate) async fn alertmanager(dir: &Path, hook: &str, port: Option<u16>) -> Option<Daemon> {
    let program = path("prometheus-alertmanager")?;
    let config = dir.join("alertmanager.yml");
    let text = format!(
        "route:\n  receiver: hook\n  group_by: [incident]\n  group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 1h\n\
         receivers:\n- name: hook\n  webhook_configs:\n  - url: {hook}\n    send_resolved: true\n"
    );
    std::fs::write(&config, text).unwrap();
    let (port, data) = (port.unwrap_or_else(free_port), dir.join("alertmanager"));
    let mut command = with_templates(&program);
    command.arg("--cluster.listen-address=").arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.arg(format!("--config.file={}", config.display())).arg(format!("--storage.path={}", data.display()));
    Some(started(command, port, dir).await)
}

/// The rules that are shipped.
pub(crate) fn shipped_rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/syncline.rules.yml")
}

/// What a Prometheus says to a query, by what the value is of.
pub(crate) fn ask(prometheus: &Daemon, query: &str) -> Vec<(serde_json::Value, f64)> {
    let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let answer = get(&format!("{}/api/v1/query?query={query}", prometheus.url)).unwrap_or_default();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    series.iter().map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap().parse().unwrap())).collect()
}

/// A Prometheus that asks `target` for metrics twice a second and evaluates `rules`.
pub(crate) async fn prometheus(dir: &Path, target: &str, rules: &Path) -> Option<Daemon> {
    let program = path("prometheus")?;
    let config = dir.join("prometheus.yml");
    let text = format!(
        "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\n  evaluation_interval: 1s\nrule_files: ['{}']\nscrape_configs:\n- job_name: syncline\n  \
         static_configs:\n  - targets: ['{target}']\n",
        rules.display()
    );
    std::fs::write(&config, text).unwrap();
    let (port, data) = (free_port(), dir.join("prometheus"));
    let mut command = Command::new(program);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", data.display()));
    Some(started(command, port, dir).await)
}

/// Debian's Alertmanager reads its templates below /usr/share. One that is unpacked elsewhere gets to see its own there, and nobody else does.
fn with_templates(program: &Path) -> Command {
    let installed = Path::new("/usr/share/prometheus/alertmanager/default.tmpl");
    let unpacked = program.ancestors().nth(2).unwrap().join("share");
    if installed.is_file() || !unpacked.is_dir() {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command
        .arg("mount -t overlay overlay -o lowerdir=$0:/usr/share /usr/share && exec \"$@\"")
        .arg(unpacked)
        .arg(program);
    command
}

async fn started(mut command: Command, port: u16, dir: &Path) -> Daemon {
    let log = dir.join(format!("daemon-{port}.log"));
    let child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let mut daemon = Daemon { child, url: format!("http://127.0.0.1:{port}") };
    let ready = format!("{}/-/ready", daemon.url);
    eventually("the daemon is ready", async || {
        let ended = daemon.child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", std::fs::read_to_string(&log).unwrap());
        get(&ready).is_some()
    })
    .await;
    daemon
}

/// What is there, if it answers well.
pub(crate) fn get(url: &str) -> Option<String> {
    ureq::get(url).call().ok()?.body_mut().read_to_string().ok()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
