//! Whom to watch.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::capture::Target;

/// Whom to watch, as a person types it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// One process.
    Pid(u32),
    /// All processes that run this file.
    Path(PathBuf),
    /// All processes whose executable's file has this name.
    Name(String),
}

impl Who {
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Pid(pid) => Target::Pid(*pid),
            Self::Path(path) => Target::Executable(path.clone()),
            Self::Name(name) => Target::Name(OsString::from(name)),
        }
    }
}

impl FromStr for Who {
    type Err = Infallible;

    /// A number is a pid, what has a slash a path, all else a name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.parse() {
            Ok(pid) => Self::Pid(pid),
            Err(_) if text.contains('/') => Self::Path(text.into()),
            Err(_) => Self::Name(text.to_owned()),
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Name(name) => write!(f, "an executable named {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_paths_and_names_are_told_apart() {
        let who = |text: &str| text.parse::<Who>().unwrap();
        assert_eq!(who("4711"), Who::Pid(4_711));
        assert_eq!(who("./4711"), Who::Path("./4711".into()));
        assert_eq!(who("cart-1.2"), Who::Name("cart-1.2".to_owned()));
        assert_eq!(who("99999999999"), Who::Name("99999999999".to_owned()));
    }
}
