//! What programs do while they are observed.

/// One program at one kind of work.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Workload {
    /// For options and messages.
    pub(super) name: &'static str,
    /// For the tables.
    pub(super) title: &'static str,
    /// For pictures.
    pub(super) label: &'static str,
    pub(super) scene: Scene,
    pub(super) pace: Pace,
}

/// Who gives the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// The program itself.
    Itself,
    /// Clients of its HTTP server, so many requests a second; 0: as many as it answers.
    Requests { rate: u32 },
    /// wrk, for a file.
    Files,
    /// wrk, for what caddy fetches from a server behind it.
    Proxy,
}

/// Whether the program does what it can, or as much as it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As fast as it goes, and does nothing but block: what a block costs.
    Blocks,
    /// As fast as it goes.
    Full,
    /// At fixed times.
    Fixed,
}

/// 16 connections ask each server.
pub(super) const CONNECTIONS: u32 = 16;

/// All of them, in the order of the tables.
pub(super) static ALL: [Workload; 10] = [
    Workload {
        name: "ping-pong",
        title: "Channel ping-pong: two goroutines, unbuffered channels",
        label: "ping-pong",
        scene: Scene::Itself,
        pace: Pace::Blocks,
    },
    Workload {
        name: "mutex",
        title: "Contended mutex: 8 goroutines, each holds it for 5 us and yields",
        label: "mutex",
        scene: Scene::Itself,
        pace: Pace::Blocks,
    },
    Workload {
        name: "echo",
        title: "Network echo: 64 bytes over loopback TCP, 8 connections",
        label: "net echo",
        scene: Scene::Itself,
        pace: Pace::Blocks,
    },
    Workload {
        name: "http-full",
        title: "HTTP server, as many requests as it answers",
        label: "HTTP",
        scene: Scene::Requests { rate: 0 },
        pace: Pace::Full,
    },
    Workload {
        name: "caddy-files",
        title: "caddy as file server, a file of 16 KiB, under wrk",
        label: "caddy, files",
        scene: Scene::Files,
        pace: Pace::Full,
    },
    Workload {
        name: "caddy-proxy",
        title: "caddy as reverse proxy before the HTTP server, under wrk",
        label: "caddy, proxy",
        scene: Scene::Proxy,
        pace: Pace::Full,
    },
    Workload {
        name: "http-1000",
        title: "HTTP server, 1,000 requests a second",
        label: "HTTP, 1,000/s",
        scene: Scene::Requests { rate: 1_000 },
        pace: Pace::Fixed,
    },
    Workload {
        name: "http-4000",
        title: "HTTP server, 4,000 requests a second",
        label: "HTTP, 4,000/s",
        scene: Scene::Requests { rate: 4_000 },
        pace: Pace::Fixed,
    },
    Workload {
        name: "paced",
        title: "Channel round trips, 2,500 a second, with time to spare",
        label: "paced, 2,500/s",
        scene: Scene::Itself,
        pace: Pace::Fixed,
    },
    Workload {
        name: "idle",
        title: "10,000 idle goroutines, and 1,000 channel round trips a second",
        label: "10k idle",
        scene: Scene::Itself,
        pace: Pace::Fixed,
    },
];

/// The workload of this name, for an option.
///
/// # Errors
/// Where there is none; the error has the names.
pub(super) fn named(name: &str) -> Result<&'static Workload, String> {
    let names = || ALL.iter().map(|workload| workload.name).collect::<Vec<_>>().join(", ");
    ALL.iter().find(|workload| workload.name == name).ok_or_else(|| format!("no such workload; there are {}", names()))
}

impl Workload {
    /// Whether caddy and wrk are needed.
    pub(super) fn needs_caddy(&self) -> bool {
        matches!(self.scene, Scene::Files | Scene::Proxy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name() {
        for workload in &ALL {
            assert_eq!(named(workload.name), Ok(workload));
        }
        assert!(named("sleep").unwrap_err().contains("ping-pong, mutex"));
    }
}
