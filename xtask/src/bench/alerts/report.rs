//! The tables of a day.

use super::super::table;
use super::day::{EVERY_NS, at_ns};
use super::plan::{Fault, HOUR, REGIONS, SECOND, Whom, name};
use super::verdict::{Told, Verdict};

/// All that was planted, and when it was told.
pub(super) fn text(verdict: &Verdict) -> String {
    let headings = ["planted", "with", "at", "shows after, s", "told, rounds later", "node-mixin", "told"];
    let rows: Vec<Vec<String>> = verdict.planted.iter().map(row).collect();
    let mut text = format!("Seed {}\n\n{}", verdict.seed, table::text(&headings, &rows));
    for (round, words) in &verdict.wrong {
        text += &format!("FALSE at {}: {words}\n", time(at_ns(*round)));
    }
    text
}

fn row(told: &Told) -> Vec<String> {
    let planted = &told.planted;
    let shows = |round: usize| format!("{:.0}", (at_ns(round) - planted.at_ns) as f64 / SECOND as f64);
    let later = match (told.detectable, &told.told) {
        (Some(shows), Some((round, _))) => {
            format!("{}{}", *round as i64 - shows as i64, if told.is_late() { " LATE" } else { "" })
        }
        _ => "NOT TOLD".to_owned(),
    };
    let peer = |at_ns: i64| format!("{:.0} min after", (at_ns - planted.at_ns) as f64 / 60e9);
    vec![
        fault(planted.fault),
        whom(&planted.whom),
        time(planted.at_ns),
        told.detectable.map_or_else(|| "never".to_owned(), shows),
        later,
        told.peer_ns.map_or_else(|| "missed".to_owned(), peer),
        told.told.as_ref().map_or_else(String::new, |(_, words)| words.clone()),
    ]
}

fn fault(fault: Fault) -> String {
    let ms = |ns: i64| format!("{:+.0} ms", ns as f64 / 1e6);
    match fault {
        Fault::Step(ns) => format!("step {}", ms(ns)),
        Fault::Unsteered(ppb) => format!("daemon ends, {:+.0} ppm", ppb / 1e3),
        Fault::Runaway(ppb) => format!("daemon steers {:+.0} ppm away", ppb / 1e3),
        Fault::Edge => "oscillator creeps past 400 ppm".to_owned(),
        Fault::FalseSource(ns) => format!("lies: source off {}", ms(ns)),
        Fault::FalseStamps(ns) => format!("lies: probes off {}", ms(ns)),
        Fault::FalseReference(ns) => format!("reference claims UTC off {}", ms(ns)),
        Fault::FrozenReference(ns) => format!("reference frozen {}", ms(ns)),
        Fault::PauseStorm => "pause storm of a host".to_owned(),
        Fault::LeapSmear => "leap smear".to_owned(),
        Fault::Route => "route through another continent".to_owned(),
    }
}

fn whom(whom: &Whom) -> String {
    match whom {
        Whom::Nodes(nodes) => match nodes.as_slice() {
            [node] => name(*node),
            [node, ..] => format!("{} and {} more", name(*node), nodes.len() - 1),
            [] => String::new(),
        },
        Whom::Region(region) => REGIONS[*region].to_owned(),
        Whom::Fleet => "fleet".to_owned(),
    }
}

fn time(at_ns: i64) -> String {
    let minute = at_ns / (HOUR / 60);
    format!("{:02}:{:02}:{:02}", minute / 60, minute % 60, at_ns / SECOND % 60)
}

/// How rounds are counted, in words.
pub(super) fn pace() -> String {
    format!("a round each {} s", EVERY_NS / SECOND)
}
