//! Orders to the capture thread: what holds for which process.

use std::time::Instant;

use syncline_bpf::Bindings;

use super::capturing::Capturing;
use crate::choice::{Rule, Rules, Settings};
use crate::control::{AsSet, BoundWaits, Command, Governed, Order, Outcome, Process, SettingsText, State, StateRule};
use crate::proc_stat::start_time;

/// An order is followed by this many times its own length without one, so that orders cost capturing a tenth of its time at most.
const PAUSE: u32 = 9;

impl Capturing {
    /// Does what was ordered, if there is something: one thing at a time.
    pub(super) fn obey(&mut self) {
        if Instant::now() < self.next_order {
            return;
        }
        let Ok(Command { order, answer }) = self.commands.try_recv() else { return };
        let began = Instant::now();
        let changed = self.follow(order);
        let done = AsSet { changed, state: self.state() };
        // Nobody may be waiting any more.
        let _ = answer.send(Outcome::Done(Box::new(done)));
        self.next_order = Instant::now() + began.elapsed() * PAUSE;
    }

    /// For how many processes something else holds from now on.
    fn follow(&mut self, order: Order) -> usize {
        let mut rules = self.capture.rules().clone();
        match order {
            Order::Show => return 0,
            Order::Reset => {
                rules.reset();
                tracing::info!("set: back to the file and the options");
            }
            Order::File(layer) => {
                rules.file = layer;
                tracing::info!(file = self.config_file, "the file of settings was read again");
            }
            Order::Set(who, change) => {
                let whom = if who.is_empty() { "all".to_owned() } else { who.to_string() };
                tracing::info!("set for {whom}: {change}");
                rules.set(who, &change);
            }
        }
        rules.forget_gone(|process| start_time(process.pid).ok() != Some(process.start_time));
        self.apply(rules)
    }

    fn apply(&mut self, rules: Rules) -> usize {
        let before = self.settings();
        self.capture.set_rules(rules);
        let changed = self.settings().iter().filter(|now| !before.contains(now)).count();
        tracing::info!(changed, tracepoints = self.capture.tracepoints().len(), "now: {}", self.capture.defaults());
        changed
    }

    /// Of each process what holds for it; None: it is left out.
    fn settings(&self) -> Vec<(u32, Option<Settings>)> {
        let observed = self.capture.observed_pids().into_iter();
        let observed = observed.filter_map(|pid| Some((pid, Some(self.capture.process(pid)?.settings))));
        observed.chain(self.capture.left_out_pids().into_iter().map(|pid| (pid, None))).collect()
    }

    fn state(&mut self) -> State {
        let rules = self.capture.rules();
        let rules = rules.set.rules.iter().chain(&rules.file.rules).map(told).collect();
        let tracepoints = self.capture.tracepoints().into_iter().map(str::to_owned).collect();
        let defaults = SettingsText::from(self.capture.defaults());
        let mut processes: Vec<Process> =
            self.capture.observed_pids().into_iter().filter_map(|pid| self.observed(pid)).collect();
        let left_out = SettingsText { observe: false, ..defaults.clone() };
        processes.extend(self.capture.left_out_pids().into_iter().map(|pid| Process {
            pid,
            service: String::new(),
            executable: executable(pid),
            limited: String::new(),
            settings: left_out.clone(),
            governed: None,
            waits: BoundWaits::default(),
        }));
        processes.sort_by_key(|process| process.pid);
        State { defaults, file: self.config_file.clone().unwrap_or_default(), rules, processes, tracepoints }
    }

    fn observed(&mut self, pid: u32) -> Option<Process> {
        let observed = self.capture.process(pid)?;
        let settings = SettingsText::from(observed.settings);
        let executable = observed.exe.to_string_lossy().into_owned();
        let limited = observed.limited().map(ToString::to_string).unwrap_or_default();
        let known = self.intake.known(&self.capture, pid, Some(observed));
        let service = known.map(|known| known.process.service.clone()).unwrap_or_default();
        let Bindings { bound, scheduler, no_thread, unreadable } = self.capture.bindings(pid);
        let waits =
            BoundWaits { bound, no_goroutine: scheduler, unbound_thread: no_thread, unbound_unreadable: unreadable };
        let governed =
            self.capture.governed(pid).map(|(stage, load)| Governed { stage: stage.name().to_owned(), load });
        Some(Process { pid, service, executable, limited, settings, governed, waits })
    }
}

fn told(rule: &Rule) -> StateRule {
    StateRule { line: rule.line, who: rule.who.to_string(), what: rule.change.to_string() }
}

fn executable(pid: u32) -> String {
    std::fs::read_link(format!("/proc/{pid}/exe")).map(|exe| exe.to_string_lossy().into_owned()).unwrap_or_default()
}
