//! Which store a command asks, from the command line, the environment and the user's directories.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use syncline_store::Location;

use crate::args::StoreArgs;
use crate::failure::usage;

/// The store that these arguments name; it may not exist.
pub(crate) fn location(args: &StoreArgs) -> anyhow::Result<Location> {
    choose(args, |name| env::var_os(name).filter(|value| !value.is_empty()))
}

/// Refuses a directory that holds no store: asking must not leave an empty one behind.
pub(crate) fn check(location: &Location) -> anyhow::Result<()> {
    let Location::Embedded(dir) = location else { return Ok(()) };
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => {}
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(usage(format!("{} cannot be read: run as the user that owns the store", dir.display())));
        }
        _ => {
            let dir = dir.display();
            return Err(usage(format!(
                "there is no store at {dir}: start an aggregator on it, or name another with --store or --url"
            )));
        }
    }
    if !looks_like_a_store(dir) {
        let dir = dir.display();
        return Err(usage(format!("{dir} is a directory, but not a Syncline store: name the store with --store")));
    }
    Ok(())
}

fn looks_like_a_store(dir: &Path) -> bool {
    ["clickhouse", "syncline.lock"].iter().any(|entry| dir.join(entry).exists())
}

/// The command line goes before the environment, the environment before the usual place.
fn choose(args: &StoreArgs, env: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Location> {
    if args.url.is_some() && args.store.is_some() {
        return Err(usage("--url and --store name two stores: give one of them"));
    }
    let given = (args.url.clone().map(OsString::from), args.store.clone().map(OsString::from));
    let (url, store) = if given == (None, None) { (env("SYNCLINE_URL"), env("SYNCLINE_STORE")) } else { given };
    match (url, store) {
        (Some(_), Some(_)) => {
            Err(usage("SYNCLINE_URL and SYNCLINE_STORE are both set: unset one, or give --url or --store"))
        }
        (Some(url), None) => Ok(Location::Url(url.into_string().map_err(|_| usage("SYNCLINE_URL is not text"))?)),
        (None, Some(dir)) => Ok(Location::Embedded(dir.into())),
        (None, None) => usual(env).map(Location::Embedded),
    }
}

fn usual(env: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<PathBuf> {
    env("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| env("HOME").map(|home| Path::new(&home).join(".local/share")))
        .map(|data| data.join("syncline/store"))
        .ok_or_else(|| usage("neither XDG_DATA_HOME nor HOME is set: name the store with --store or --url"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(store: Option<&str>, url: Option<&str>, env: &[(&str, &str)]) -> Result<Location, String> {
        let args =
            StoreArgs { store: store.map(PathBuf::from), url: url.map(str::to_owned), database: "syncline".to_owned() };
        let look_up = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        choose(&args, look_up).map_err(|error| error.to_string())
    }

    #[test]
    fn the_nearest_wish_wins() {
        let dir = |path: &str| Ok(Location::Embedded(path.into()));
        let home = ("HOME", "/home/u");
        assert_eq!(chosen(None, None, &[home]), dir("/home/u/.local/share/syncline/store"));
        assert_eq!(chosen(None, None, &[home, ("XDG_DATA_HOME", "/data")]), dir("/data/syncline/store"));
        assert_eq!(chosen(None, None, &[home, ("SYNCLINE_STORE", "/s")]), dir("/s"));
        assert_eq!(chosen(Some("/t"), None, &[("SYNCLINE_URL", "http://x")]), dir("/t"));
        assert_eq!(chosen(None, Some("http://y"), &[("SYNCLINE_STORE", "/s")]), Ok(Location::Url("http://y".into())));
    }

    #[test]
    fn two_wishes_of_the_environment_and_none_at_all_are_refused() {
        assert!(chosen(None, None, &[("SYNCLINE_STORE", "/s"), ("SYNCLINE_URL", "http://x")]).is_err());
        assert!(chosen(Some("/t"), Some("http://y"), &[]).unwrap_err().contains("give one of them"));
        assert!(chosen(None, None, &[]).unwrap_err().contains("--store"));
    }

    #[test]
    fn a_directory_that_is_no_store_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let here = Location::Embedded(dir.path().to_owned());
        assert!(check(&here).is_err());
        assert!(check(&Location::Embedded(dir.path().join("missing"))).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::create_dir(dir.path().join("clickhouse")).unwrap();
        assert!(check(&here).is_ok());
    }
}
