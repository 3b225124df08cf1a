//! Whether this machine can capture, as `syncline doctor` finds by trying.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What `syncline doctor --json` says, as far as the demo asks.
#[derive(Deserialize)]
pub(super) struct Diagnosis {
    can_capture: bool,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    check: String,
    status: String,
    found: String,
}

impl Diagnosis {
    pub(super) fn of_this_machine(cli: &Path) -> Result<Self> {
        // Its exit code says whether this machine can capture; that is in the answer too.
        let output = Command::new(cli).args(["doctor", "--json"]).output().context("syncline doctor")?;
        serde_json::from_slice(&output.stdout).context("the answer of syncline doctor --json")
    }

    /// What stands in the way of live capture, if anything does.
    pub(super) fn why_not_live(&self) -> Option<String> {
        let failed = self.checks.iter().filter(|check| check.status == "fail");
        let reasons: Vec<String> = failed.map(|check| format!("{} ({})", check.found, check.check)).collect();
        (!self.can_capture).then(|| reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_the_reason() {
        let answer = r#"{"can_capture": false, "can_store": true, "checks": [
            {"check": "btf", "status": "ok", "found": "yes", "hint": null},
            {"check": "bpf", "status": "fail", "found": "refused", "hint": "be root"}]}"#;
        let diagnosis: Diagnosis = serde_json::from_str(answer).unwrap();
        assert_eq!(diagnosis.why_not_live().as_deref(), Some("refused (bpf)"));
    }
}
