//! How a command ends: exit code 0, 1 (it failed) or 2 (it was asked wrongly); `skew --pairs` also with 3 (a clock is wrong), `audit` with
//! 3 (something is missing or there twice) and 4 (that cannot be told).

use std::fmt;
use std::io;
use std::process::ExitCode;

/// A wrong question: a time that is none, a store that is not there, a format nobody knows.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The error of a wrong question, which ends with exit code 2.
pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

/// Prints the error as one line and chooses the exit code. A reader that went away (`| head`) is not an error.
pub(crate) fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match result {
        Ok(code) => return code,
        Err(error) if is_broken_pipe(&error) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    eprintln!("syncline: {}", one_line(&format!("{error:#}")));
    if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    // A pipe that breaks between us and the store is an error: only that of our own output is meant.
    error.downcast_ref::<io::Error>().is_some_and(broken)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        assert_eq!(one_line("first\n  second\tthird "), "first second third");
    }

    #[test]
    fn a_broken_pipe_is_known_under_no_context_only() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&broken().into()));
        assert!(!is_broken_pipe(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
