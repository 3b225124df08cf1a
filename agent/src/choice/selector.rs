//! Whom a rule is for.

use std::fmt;
use std::path::Path;

use super::pattern::Pattern;
use crate::metadata::Metadata;

/// A process that does not stand for the next one with its pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// Its pid.
    pub pid: u32,
    /// When it started, clock ticks since boot.
    pub start_time: u64,
}

/// What rules are held against.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The process.
    pub id: ProcessId,
    /// Its executable.
    pub exe: &'a Path,
    /// Its names; None where nobody has asked for them, so that no rule by name fits.
    pub names: Option<&'a Metadata>,
}

/// Which processes: those that all that is given fits. Whatever is None fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Name of the service.
    pub service: Option<Pattern>,
    /// The executable's path if there is a slash in it, else the name of its file.
    pub exe: Option<Pattern>,
    /// The container's name or id.
    pub container: Option<Pattern>,
    /// The pod's name or uid.
    pub pod: Option<Pattern>,
    /// The pod's namespace.
    pub namespace: Option<Pattern>,
    /// One process.
    pub process: Option<ProcessId>,
}

impl Selector {
    /// Whether it selects nobody in particular.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it asks for what has to be read of each process.
    #[must_use]
    pub fn needs_names(&self) -> bool {
        [&self.service, &self.container, &self.pod, &self.namespace].into_iter().any(Option::is_some)
    }

    /// Whether the process is one of those.
    #[must_use]
    pub fn fits(&self, subject: &Subject<'_>) -> bool {
        let named = |pattern: &Option<Pattern>, texts: fn(&Metadata) -> [&str; 2]| match (pattern, subject.names) {
            (None, _) => true,
            (Some(_), None) => false,
            // What is not in a container has no name there that * could stand for.
            (Some(pattern), Some(names)) => texts(names).iter().any(|text| !text.is_empty() && pattern.fits(text)),
        };
        self.process.is_none_or(|process| process == subject.id)
            && self.exe.as_ref().is_none_or(|pattern| fits_path(pattern, subject.exe))
            && named(&self.service, |names| [&names.service, ""])
            && named(&self.container, |names| [&names.container.name, &names.container.id])
            && named(&self.pod, |names| [&names.container.pod_name, &names.container.pod_uid])
            && named(&self.namespace, |names| [&names.container.namespace, ""])
    }
}

fn fits_path(pattern: &Pattern, exe: &Path) -> bool {
    let part = if pattern.is_path() { Some(exe.as_os_str()) } else { exe.file_name() };
    part.is_some_and(|part| pattern.fits(&part.to_string_lossy()))
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name, pattern: &Option<Pattern>| pattern.as_ref().map(|pattern| format!("{name}={pattern}"));
        let parts = [
            named("service", &self.service),
            named("exe", &self.exe),
            named("container", &self.container),
            named("pod", &self.pod),
            named("namespace", &self.namespace),
            self.process.map(|process| format!("pid={}", process.pid)),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use syncline_event::Container;

    use super::*;

    fn pattern(text: &str) -> Option<Pattern> {
        Some(Pattern::new(text).unwrap())
    }

    #[test]
    fn all_that_is_given_has_to_fit() {
        let container =
            Container { name: "web".into(), id: "f00d".into(), pod_name: "shop-7".into(), ..Container::default() };
        let names = Metadata { service: "shop".into(), container };
        let id = ProcessId { pid: 7, start_time: 70 };
        let subject = Subject { id, exe: Path::new("/opt/shop/server"), names: Some(&names) };
        let any = Selector::default();
        let fits = |selector: Selector| selector.fits(&subject);
        assert!(fits(any.clone()));
        assert!(fits(Selector { service: pattern("shop"), exe: pattern("server"), ..any.clone() }));
        assert!(!fits(Selector { service: pattern("shop"), exe: pattern("client"), ..any.clone() }));
        assert!(fits(Selector { exe: pattern("/opt/*"), ..any.clone() }));
        assert!(!fits(Selector { exe: pattern("opt*"), ..any.clone() }));
        assert!(fits(Selector { container: pattern("f00d"), pod: pattern("shop-*"), ..any.clone() }));
        assert!(!fits(Selector { namespace: pattern("*"), ..any.clone() }), "it is in none");
        assert!(fits(Selector { process: Some(id), ..any.clone() }));
        assert!(
            !fits(Selector { process: Some(ProcessId { start_time: 71, ..id }), ..any.clone() }),
            "the next one with its pid"
        );
        let unread = Subject { names: None, ..subject };
        assert!(!Selector { service: pattern("*"), ..any.clone() }.fits(&unread));
        assert!(
            Selector { pod: pattern("x"), ..any.clone() }.needs_names()
                && !Selector { exe: pattern("x"), ..any }.needs_names()
        );
    }
}
