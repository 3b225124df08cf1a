//! Variables that are called as a program's, and are none of them.

use std::ffi::OsString;

use clap::Command;

use crate::nearest::nearest;
use crate::options::Options;
use crate::problem::Problem;

impl Options {
    /// That all variables of the program that are set are known. `set` has those of the whole environment, with their values. Those that Kubernetes sets
    /// in all containers for a service that is called as the program are let pass.
    ///
    /// # Errors
    /// One that is not, with what may be meant.
    pub fn check_variables(
        &self,
        command: &Command,
        set: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), Problem> {
        let options = command.get_arguments().filter(|arg| arg.get_long().is_some());
        let below = self.below.iter().map(|(path, _)| path.replace('.', "_"));
        let known: Vec<String> = options.map(|arg| arg.get_id().to_string()).chain(below).collect();
        let mut set: Vec<OsString> =
            set.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name).collect();
        set.sort();
        for name in set {
            let Some(key) = name.to_str().and_then(|name| name.strip_prefix(self.prefix)) else { continue };
            if known.iter().any(|known| known.to_uppercase() == key) || is_of_a_service(key) {
                continue;
            }
            let why = match nearest(key, known.iter().map(String::as_str)) {
                Some(meant) => format!("unknown variable; did you mean `{}`?", self.variable(meant)),
                None => "unknown variable: docs/configuration.md has all that there are; lists of tables are in the file only".to_owned(),
            };
            return Err(Problem::of(name.to_string_lossy(), why));
        }
        Ok(())
    }
}

/// Whether Kubernetes sets it for a service: `..._SERVICE_HOST`, `..._SERVICE_PORT`, `..._PORT` and `..._PORT_7700_TCP_ADDR`, where the rest of the
/// service's name, if there is some, goes before.
fn is_of_a_service(key: &str) -> bool {
    let key = format!("_{key}");
    let has_port = |(_, rest): (&str, &str)| rest.split('_').next().is_some_and(|port| port.parse::<u16>().is_ok());
    key.ends_with("_SERVICE_HOST")
        || key.ends_with("_PORT")
        || key.contains("_SERVICE_PORT_")
        || key.rsplit_once("_PORT_").is_some_and(has_port)
        || key.split_once("_PORT_").is_some_and(has_port)
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;
    use crate::Kind;

    const OPTIONS: Options = Options {
        prefix: "SYNCLINE_AGGREGATOR_",
        aliases: &[],
        exclusive: &[],
        not_in_file: &["config"],
        elsewhere: &[],
        secret: &[],
        tables: &["alerts"],
        below: &[("alerts.limits.offset", Kind::Text)],
    };

    fn told(name: &str) -> Option<String> {
        let options = ["region", "listen", "config"].map(|key| Arg::new(key).long(key));
        let set = [(name.into(), "x".into()), ("PATH".into(), "/bin".into())];
        OPTIONS.check_variables(&Command::new("x").args(options), set).err().map(|problem| problem.to_string())
    }

    #[test]
    fn a_variable_that_is_misspelt_is_refused_with_what_was_meant() {
        for known in ["REGION", "CONFIG", "ALERTS_LIMITS_OFFSET"] {
            assert_eq!(told(&format!("SYNCLINE_AGGREGATOR_{known}")), None);
        }
        assert_eq!(
            told("SYNCLINE_AGGREGATOR_REGIN").unwrap(),
            "SYNCLINE_AGGREGATOR_REGIN: unknown variable; did you mean `SYNCLINE_AGGREGATOR_REGION`?"
        );
        let told = |key: &str| told(&format!("SYNCLINE_AGGREGATOR_{key}")).unwrap();
        assert!(told("ALERTS_LIMITS_OFSET").ends_with("did you mean `SYNCLINE_AGGREGATOR_ALERTS_LIMITS_OFFSET`?"));
        assert!(told("COLOUR_OF_THE_SHED").contains("docs/configuration.md"));
    }

    #[test]
    fn what_others_set_is_let_pass() {
        for other in ["SYNCLINE_AGGREGATOR", "SYNCLINE_AGENT_REGIN", "SYNCLINE_URL", "SYNCLINE_LIBCHDB"] {
            assert_eq!(told(other), None);
        }
        // Kubernetes, of services `syncline-aggregator` and `syncline-aggregator-root`.
        for of in ["", "ROOT_"] {
            for link in [
                "SERVICE_HOST",
                "SERVICE_PORT",
                "SERVICE_PORT_GRPC",
                "PORT",
                "PORT_7700_TCP",
                "PORT_7700_TCP_PROTO",
                "PORT_7700_TCP_PORT",
                "PORT_7700_UDP_ADDR",
            ] {
                assert_eq!(told(&format!("SYNCLINE_AGGREGATOR_{of}{link}")), None, "{of}{link}");
            }
        }
        let empty = [("SYNCLINE_AGGREGATOR_REGIN".into(), OsString::new())];
        assert_eq!(OPTIONS.check_variables(&Command::new("x"), empty), Ok(()));
    }
}
