//! Capturing goroutine waits with eBPF: the way from a kernel probe to a [`RawWait`].
//!
//! ```text
//! rules ──> what holds for a process                              [choosing]
//! /proc ──> Target ──> Binary (gosym) ──> probes on the inode     [target, executable, library, binary, probes, observing, processes]
//! costs of each process ─> stages, windows of time                [governing]
//! probes ─> ring buffer ─> WaitRecord ─> RawWait ─> the sink      [running, kernel, wait]
//!        │                ├> TCP sessions and messages            [tcp]
//!        │                └> goroutines' time by state            [states]
//!        ├> sums of short waits, counters                         [short_waits, counters]
//!        └> waits that go on, looked at in the process's memory   [open, found, told, due]
//! addresses on stacks ─> what they stand for, in Go's code or not [frames]
//! the process's own list of goroutines ─> those that were parked before [before]
//! ```
//!
//! [`Capture`] is polled (`running`); what comes and goes with processes and rules is its room `observing`.
//!
//! The observed program never notices but by the time the probes take: they are uprobes at verified instructions of the Go
//! runtime, never uretprobes, and they go when [`Capture`] is dropped (also by a panic) or this process ends.

mod before;
mod binary;
mod budget;
mod choosing;
mod config;
mod counters;
mod due;
mod error;
mod executable;
mod file;
mod found;
mod frames;
mod governing;
mod idle;
mod kernel;
mod library;
mod memory;
mod missed;
mod multi;
mod namespace;
mod observing;
mod open;
mod parks;
mod privileges;
mod probes;
mod process;
mod processes;
mod report;
mod retry;
mod running;
mod short_waits;
mod states;
mod strangers;
mod syscalls;
mod target;
mod tcp;
mod texts;
mod told;
mod tracepoints;
mod wait;
mod wakeups;

pub use crate::kinds::{CaptureKind, Kinds};
pub use binary::Binary;
pub(crate) use choosing::without_deleted_mark;
pub use config::CaptureConfig;
pub use counters::Counters;
pub use error::{CaptureError, KernelError, Refusal};
pub(crate) use file::flow;
pub use frames::Frames;
pub use governing::Observation;
pub use open::{OpenTaken, OpenWait};
pub(crate) use probes::points;
pub use process::ObservedProcess;
pub(crate) use process::mono_ns;
pub use report::{Attached, Coverage, LoadedPlugin, RescanReport, Skipped};
pub use running::{Capture, kernel_support};
pub use short_waits::ShortWait;
pub use states::{BlockedTime, GoroutineSplit, ProcessTimes, StateCounters, StateTimes, StatesTaken};
pub use target::Target;
pub use tcp::{Off, TcpConfig, TcpCounters, TcpTaken};
pub(crate) use wait::CALL_OF_C;
pub use wait::{RawWait, UNKNOWN_REASON};
