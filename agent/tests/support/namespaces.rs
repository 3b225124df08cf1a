//! Two network namespaces with a cable (veth) between them, by the ip command.

use std::path::Path;
use std::process::Command;

/// Removed when dropped.
pub struct Namespaces {
    pub a: String,
    pub b: String,
}

impl Namespaces {
    /// `a` has 10.99.0.1 and fd99::1, `b` has 10.99.0.2 and fd99::2.
    pub fn new() -> Self {
        let name = |end: &str| format!("syncline-{}-{end}", std::process::id());
        let pair = Self { a: name("a"), b: name("b") };
        for namespace in [&pair.a, &pair.b] {
            ip(&["netns", "add", namespace]);
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
        }
        ip(&["-n", &pair.a, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", &pair.b]);
        for (namespace, number) in [(&pair.a, "1"), (&pair.b, "2")] {
            // Else IPv6 loses its address with the cable.
            let keep = "echo 1 > /proc/sys/net/ipv6/conf/cable/keep_addr_on_down";
            ip(&["netns", "exec", namespace, "sh", "-c", keep]);
            ip(&["-n", namespace, "addr", "add", &format!("10.99.0.{number}/24"), "dev", "cable"]);
            ip(&["-n", namespace, "addr", "add", &format!("fd99::{number}/64"), "dev", "cable", "nodad"]);
            ip(&["-n", namespace, "link", "set", "cable", "up"]);
        }
        pair
    }

    /// Arguments of `ip` that run the program in a namespace: the process that was started becomes the program.
    pub fn arguments<'a>(namespace: &'a str, program: &'a Path, arguments: &[&'a str]) -> Vec<&'a str> {
        let program = program.to_str().unwrap();
        ["netns", "exec", namespace, program].into_iter().chain(arguments.iter().copied()).collect()
    }

    /// Plugs the cable in, or out.
    pub fn set_cable(&self, is_up: bool) {
        ip(&["-n", &self.b, "link", "set", "cable", if is_up { "up" } else { "down" }]);
    }

    /// Segments that the namespace has sent again so far.
    pub fn retransmitted(namespace: &str) -> u64 {
        let output = Command::new("ip").args(["netns", "exec", namespace, "cat", "/proc/net/snmp"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("Tcp: ")).collect();
        let mut columns = lines[0].split(' ').zip(lines[1].split(' '));
        columns.find(|(name, _)| *name == "RetransSegs").unwrap().1.parse().unwrap()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for namespace in [&self.a, &self.b] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("the ip command (Debian iproute2) is needed");
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
