//! What is said over the control socket: a request and an answer, each a line of JSON with the version of this form.

use serde::{Deserialize, Serialize};

use crate::choice::{DurationText, RuleText, Settings};
use crate::governor::Budget;
use crate::kinds::CaptureKind;

/// The version of the form.
pub const VERSION: u32 = 1;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// What holds.
    Show,
    /// To forget what was set.
    Reset,
    /// To set something.
    Set(Box<SetText>),
}

/// What is to be set, and for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetText {
    /// For this process only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// For whom else, and what.
    pub rule: RuleText,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done(Box<AsSet>),
    /// It was not, and why.
    Refused(String),
}

/// What holds after a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AsSet {
    /// Processes for which something else holds than before the request.
    pub changed: usize,
    /// What holds.
    pub state: State,
}

/// What holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Where no rule fits.
    pub defaults: SettingsText,
    /// The file of settings; empty: there is none.
    pub file: String,
    /// The rules, those that were set first.
    pub rules: Vec<StateRule>,
    /// Each observed Go process, and those that are left out, by pid.
    pub processes: Vec<Process>,
    /// The kernel's raw tracepoints that have a program of the agent's.
    pub tracepoints: Vec<String>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRule {
    /// Its line in the file; None: it was set.
    pub line: Option<usize>,
    /// For whom.
    pub who: String,
    /// What.
    pub what: String,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its service; empty: not known, as of one that is left out.
    pub service: String,
    /// Its executable.
    pub executable: String,
    /// Why its goroutines are not observed, only its threads; empty: they are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub limited: String,
    /// What holds for it.
    pub settings: SettingsText,
    /// The stage of its observation, and what it costs, or would cost, to observe it all the time, in its budgets; None: it has no budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governed: Option<Governed>,
    /// Whose the waits of its threads were.
    #[serde(default)]
    pub waits: BoundWaits,
}

/// How a process is kept inside its budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Governed {
    /// The stage: `full`, `raised`, `lean`, `windows` or `off`.
    pub stage: String,
    /// What it costs, or would cost, to observe it all the time, in its budgets.
    pub load: f64,
}

/// Waits of a process's threads (in system calls, off their CPUs), as far as they are events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundWaits {
    /// Bound to their goroutines.
    pub bound: u64,
    /// Of Go's scheduler and of C code: the thread ran no goroutine.
    pub no_goroutine: u64,
    /// Not bound: which of the runtime's threads it is is not known.
    pub unbound_thread: u64,
    /// Not bound: the memory of the process could not be read.
    pub unbound_unreadable: u64,
}

/// Settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsText {
    /// It is observed.
    pub observe: bool,
    /// Shortest wait that becomes an event.
    pub threshold: DurationText,
    /// Age at which waits are told of before they end.
    pub open_after: DurationText,
    /// What observing may cost.
    #[serde(default = "no_budget")]
    pub budget: Budget,
    /// Kinds that are left out.
    pub without: Vec<CaptureKind>,
    /// Kinds beyond the usual ones.
    #[serde(default)]
    pub with: Vec<CaptureKind>,
}

impl From<Settings> for SettingsText {
    fn from(settings: Settings) -> Self {
        let Settings { observe, threshold, open_after, kinds, budget } = settings;
        let (threshold, open_after) = (DurationText(threshold), DurationText(open_after));
        Self { observe, threshold, open_after, budget, without: kinds.left_out(), with: kinds.added() }
    }
}

/// That of agents that know none.
fn no_budget() -> Budget {
    Budget::OFF
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    version: u32,
    ask: Ask,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    version: u32,
    answer: Outcome,
}

/// The line of a request, with its end.
pub(super) fn request_line(ask: &Ask) -> serde_json::Result<String> {
    line(&Request { version: VERSION, ask: ask.clone() })
}

/// The line of an answer, with its end.
pub(super) fn answer_line(answer: Outcome) -> serde_json::Result<String> {
    line(&Answer { version: VERSION, answer })
}

fn line(what: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(what).map(|line| line + "\n")
}

/// The request in a line; else what is wrong with it.
pub(super) fn read_request(line: &[u8]) -> Result<Ask, String> {
    let no_request = |e: serde_json::Error| format!("that is no request: {e}");
    let Version { version } = serde_json::from_slice(line).map_err(no_request)?;
    if version != VERSION {
        return Err(other_version("the request", version));
    }
    serde_json::from_slice(line).map(|Request { ask, .. }| ask).map_err(no_request)
}

/// The answer in a line; else what is wrong with it.
pub(super) fn read_answer(line: &[u8]) -> Result<Outcome, String> {
    let no_answer = |e: serde_json::Error| format!("that is no answer of an agent's: {e}");
    let Version { version } = serde_json::from_slice(line).map_err(no_answer)?;
    if version != VERSION {
        return Err(other_version("the answer", version));
    }
    serde_json::from_slice(line).map(|Answer { answer, .. }| answer).map_err(no_answer)
}

fn other_version(what: &str, version: u32) -> String {
    format!("{what} is of version {version}, this agent speaks version {VERSION}: use the program of the running agent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let rule = RuleText { service: Some("shop-*".parse().unwrap()), observe: Some(false), ..RuleText::default() };
        for ask in [Ask::Show, Ask::Reset, Ask::Set(Box::new(SetText { pid: Some(7), rule }))] {
            let line = request_line(&ask).unwrap();
            assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
            assert_eq!(read_request(line.as_bytes()), Ok(ask));
        }
        let typed = r#"{"version":1,"ask":{"set":{"rule":{"exe":"shop","threshold":"5ms","without":["off-cpu"]}}}}"#;
        let Ok(Ask::Set(set)) = read_request(typed.as_bytes()) else { panic!("refused") };
        assert_eq!(set.rule.change().unwrap().to_string(), "threshold=5ms without=off-cpu");
    }

    #[test]
    fn what_is_none_is_refused_in_one_line() {
        for (line, part) in [
            ("", "no request"),
            ("hello", "no request"),
            ("{}", "version"),
            (r#"{"version":2,"ask":"show"}"#, "version 2"),
            (r#"{"version":1,"ask":"sing"}"#, "`show`"),
            (r#"{"version":1,"ask":"show","more":1}"#, "more"),
            (r#"{"version":1,"ask":{"set":{"rule":{"threshhold":"1ms"}}}}"#, "`threshold`"),
            (r#"{"version":1,"ask":{"set":{"rule":{"threshold":"1"}}}}"#, "250us"),
            (r#"{"version":1,"ask":{"set":{"rule":{"service":""}}}}"#, "fits nothing"),
            (r#"{"version":1,"ask":{"set":{"rule":{"budget":"1"}}}}"#, "as 1%, or off"),
        ] {
            let why = read_request(line.as_bytes()).unwrap_err();
            assert!(why.contains(part) && !why.contains('\n'), "{line}: {why}");
        }
        assert!(read_request(&[0xff, b'\n']).is_err());
    }
}
