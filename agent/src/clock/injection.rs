//! A known error on every stamp: present only in agents built with `inject-clock`, for the demo and tests.

#[cfg(feature = "inject-clock")]
use syncline_sim::InjectedClock;

/// Maps true stamps to injected ones; without the feature, or by default, it changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Injection {
    /// There is one for the whole life of an agent.
    #[cfg(feature = "inject-clock")]
    clock: Option<&'static InjectedClock>,
}

#[cfg(feature = "inject-clock")]
impl Injection {
    pub(super) fn mono(&self, ns: i64) -> i64 {
        self.clock.map_or(ns, |clock| clock.mono(ns))
    }

    pub(super) fn raw(&self, ns: i64) -> i64 {
        self.clock.map_or(ns, |clock| clock.raw(ns))
    }

    pub(super) fn wall(&self, mono_ns: i64, wall_ns: i64) -> i64 {
        self.clock.map_or(wall_ns, |clock| clock.wall(mono_ns, wall_ns))
    }

    pub(super) fn probe_lie_ns(&self) -> i64 {
        self.clock.map_or(0, |clock| clock.probe_lie_ns)
    }
}

#[cfg(feature = "inject-clock")]
impl std::str::FromStr for Injection {
    type Err = <InjectedClock as std::str::FromStr>::Err;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { clock: Some(Box::leak(Box::new(text.parse()?))) })
    }
}

#[cfg(not(feature = "inject-clock"))]
impl Injection {
    pub(super) const fn mono(self, ns: i64) -> i64 {
        ns
    }

    pub(super) const fn raw(self, ns: i64) -> i64 {
        ns
    }

    pub(super) const fn wall(self, _mono_ns: i64, wall_ns: i64) -> i64 {
        wall_ns
    }

    pub(super) const fn probe_lie_ns(self) -> i64 {
        0
    }
}
