//! Which service a process belongs to.

use std::path::Path;

use crate::text;

/// Variables that name the service, the first one that is set wins.
const VARIABLES: [&str; 2] = ["SYNCLINE_SERVICE", "OTEL_SERVICE_NAME"];
/// Longer names are cut: the wire's limit for a text, with room to spare.
const MAX_BYTES: usize = 255;

/// Name of the service of a process with this environment (as in `/proc/PID/environ`) and this executable: what its
/// environment says, else the executable's base name.
pub fn service_name(environ: &[u8], executable: &Path) -> String {
    let named = VARIABLES.iter().find_map(|variable| value_of(environ, variable));
    let name = named.or_else(|| executable.file_name().map(|name| name.to_string_lossy().into_owned()));
    fitting(name.unwrap_or_else(|| "unknown".to_owned()))
}

fn value_of(environ: &[u8], variable: &str) -> Option<String> {
    let value = |entry: &[u8]| {
        let value = entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"=")?;
        (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
    };
    environ.split(|byte| *byte == 0).find_map(value)
}

/// A service's name, cut to what the wire takes.
pub(crate) fn fitting(name: String) -> String {
    text::cut(name, MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_service_and_ours_wins() {
        let both = b"PATH=/bin\0OTEL_SERVICE_NAME=otel\0SYNCLINE_SERVICE=ours\0";
        assert_eq!(service_name(both, Path::new("/bin/app")), "ours");
        assert_eq!(service_name(b"OTEL_SERVICE_NAME=otel\0", Path::new("/bin/app")), "otel");
    }

    #[test]
    fn without_a_name_it_is_the_executable() {
        for environ in [&b""[..], b"SYNCLINE_SERVICE=\0", b"XSYNCLINE_SERVICE=no\0", b"SYNCLINE_SERVICE2=no\0"] {
            assert_eq!(service_name(environ, Path::new("/opt/bin/payment")), "payment");
        }
    }

    #[test]
    fn a_huge_name_is_cut_at_a_character() {
        let environ = format!("SYNCLINE_SERVICE={}", "é".repeat(1_000));
        assert_eq!(service_name(environ.as_bytes(), Path::new("x")).len(), MAX_BYTES - 1);
    }
}
