//! Options of `inspect`.

use clap::Args;

use crate::inspect::Subject;

pub(super) const INSPECT_EXAMPLES: &str = "Examples:
  syncline-agent inspect /opt/shop/cart          what would be captured of it, and where probes would go
  syncline-agent inspect 4242                    the same of what a process runs
  syncline-agent inspect ./cart --json | jq '.kinds[] | select(.captured | not)'

It needs no root for a file, and of a process what reading /proc/PID/exe needs. Exit codes: 1 nothing of it would be captured, or it
cannot be read; 2 usage.";

/// What to inspect, and how to tell.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// A Go program's file, or the id of a process that runs one
    #[arg(value_name = "BINARY|PID", value_parser = subject)]
    pub subject: Subject,
    /// As JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// A file whose name is a number is meant by `./4242`.
fn subject(text: &str) -> Result<Subject, std::convert::Infallible> {
    Ok(text.parse().map_or_else(|_| Subject::File(text.into()), Subject::Process))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_process() {
        assert_eq!(subject("4242"), Ok(Subject::Process(4242)));
        assert_eq!(subject("./4242"), Ok(Subject::File("./4242".into())));
        assert_eq!(subject("99999999999"), Ok(Subject::File("99999999999".into())));
    }
}
