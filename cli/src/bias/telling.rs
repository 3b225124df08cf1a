//! How a program is told its rate, and how its profile is had.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use syncline_insight::{BlockProfile, read_block_profile};

use super::args::BiasArgs;
use super::launch::{Running, wait_for_any, words_after};
use super::program::Program;
use crate::failure::usage;

const RATE: &str = "{rate}";
const PROFILE: &str = "{profile}";
/// Until a server answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts to reach it.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// For one answer; net/http/pprof writes a block profile at once.
const ANSWER: Duration = Duration::from_secs(30);
/// More than any block profile has.
const LARGEST_BYTES: u64 = 256 << 20;
/// Where to read how a program is made ready.
const HOW: &str = "docs/bias.md has a dozen lines that do it";

/// The way in which a program is told.
pub(super) struct Telling<'a> {
    args: &'a BiasArgs,
    agent: ureq::Agent,
}

impl<'a> Telling<'a> {
    /// # Errors
    /// If the options cannot work together.
    pub(super) fn new(args: &'a BiasArgs, program: &Program) -> Result<Self> {
        if args.pprof_url.is_some() && args.duration.is_none() && args.load.is_none() {
            return Err(usage(
                "--pprof-url needs --duration or --load: the profile is fetched when they are over, before the program is ended",
            ));
        }
        let has = |what: &str| program.arguments.iter().any(|argument| argument.contains(what));
        let twice = |what: &str, option| usage(format!("{what} among the arguments and {option} exclude each other"));
        if has(RATE) && args.rate_url.is_some() {
            return Err(twice(RATE, "--rate-url"));
        }
        if has(PROFILE) && args.pprof_url.is_some() {
            return Err(twice(PROFILE, "--pprof-url"));
        }
        let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER)).build();
        Ok(Self { args, agent: config.into() })
    }

    /// The command that starts the program with this rate (0: no profile), ns.
    pub(super) fn command(&self, program: &Program, rate_ns: u64, profile: &Path) -> Command {
        let mut command = Command::new(&program.path);
        let profile_text = profile.display().to_string();
        let told = |argument: &String| argument.replace(RATE, &rate_ns.to_string()).replace(PROFILE, &profile_text);
        command.args(program.arguments.iter().map(told));
        command.env(&self.args.rate_env, rate_ns.to_string()).env(&self.args.profile_env, profile);
        command
    }

    /// Returns when the program that was just started has its rate and answers, where it is told by HTTP; whether it was.
    pub(super) fn tell(&self, rate_ns: u64, program: &Running) -> Result<bool> {
        if let Some(url) = &self.args.rate_url {
            self.until_it_answers(&url.replace(RATE, &rate_ns.to_string()), program)?;
        } else if let Some(url) = &self.args.pprof_url {
            self.until_it_answers(url, program)?;
        }
        Ok(self.args.rate_url.is_some())
    }

    /// Whether the profile has to be fetched while the program runs.
    pub(super) fn is_fetched(&self) -> bool {
        self.args.pprof_url.is_some()
    }

    /// Fetches it.
    pub(super) fn fetch(&self) -> Result<BlockProfile> {
        let url = self.args.pprof_url.as_deref().unwrap_or_default();
        let bytes = self.get(url).with_context(|| format!("cannot fetch the profile from {url}"))?;
        read_block_profile(&bytes).with_context(|| format!("what {url} gives is of no use"))
    }

    /// Reads the file that the program wrote before it ended; `words` are its last.
    pub(super) fn read(&self, profile: &Path, words: &str) -> Result<BlockProfile> {
        let bytes = match std::fs::read(profile) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "the program wrote no profile: it must read the rate from ${} and, before it ends{}, write its block profile to the file \
                 that ${} names ({HOW}); or take {{rate}} and {{profile}} as arguments, or be asked by --pprof-url{}",
                self.args.rate_env,
                if self.args.duration.is_some() || self.args.load.is_some() { " on a SIGTERM" } else { "" },
                self.args.profile_env,
                words_after(words),
            ),
            Err(error) => return Err(error).context("cannot read the profile"),
        };
        read_block_profile(&bytes).context("the profile that the program wrote is of no use")
    }

    /// What to do about a program that has a profile without blocks.
    pub(super) fn hint_to_set_the_rate(&self) -> String {
        let from = match &self.args.rate_url {
            Some(url) => format!("{url} was answered; does it call SetBlockProfileRate?"),
            None => format!(
                "it must call runtime.SetBlockProfileRate with the number in ${}, or with {{rate}} among its arguments, before it works",
                self.args.rate_env
            ),
        };
        format!("{from} ({HOW})")
    }

    fn until_it_answers(&self, url: &str, program: &Running) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(error) = self.get(url) else { return Ok(()) };
            // A server that answers otherwise will not change its mind.
            if matches!(error, ureq::Error::StatusCode(_)) || Instant::now() > deadline {
                return Err(error).with_context(|| format!("{url} does not answer well"));
            }
            if wait_for_any(&[program], AGAIN_AFTER)? {
                bail!("the program ended before {url} answered{}", words_after(&program.last_words()));
            }
        }
    }

    fn get(&self, url: &str) -> Result<Vec<u8>, ureq::Error> {
        self.agent.get(url).call()?.body_mut().with_config().limit(LARGEST_BYTES).read_to_vec()
    }
}

/// Where a program writes its profile.
pub(super) fn profile_path(directory: &Path) -> PathBuf {
    directory.join("block.pb.gz")
}
