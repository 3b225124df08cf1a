//! Where a goroutine's state changes otherwise than by parking, being made ready and running again: it begins and ends, gives its
//! processor up or finds it gone after a call, or changes over to a coroutine.

use crate::probe_site::{Finder, Frameless, ProbeSite};

/// Where goroutines change their state. All arguments are in registers: rax holds the goroutine except where it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSites {
    /// The calls of `runtime.casgstatus` in `runtime.newproc1`. The one that finds ebx = [`DEAD`](Self::DEAD) makes a new goroutine
    /// runnable (ecx = 1) or waiting (4).
    pub creates: Vec<ProbeSite>,
    /// `runtime.gdestroy`, up to Go 1.21 `runtime.goexit0`: it ends.
    pub destroy: ProbeSite,
    /// `runtime.goschedImpl`, `runtime.goyield_m`, `runtime.preemptPark`: it stops running and could go on.
    pub yields: [ProbeSite; 3],
    /// `runtime.exitsyscallTryGetP`, up to Go 1.25 `runtime.exitsyscallfast_pidle`: back from a call, and its processor is gone. The
    /// goroutine is the one on whose behalf the scheduling stack in r14 runs.
    pub lost_processor: ProbeSite,
    /// `runtime.exitsyscallNoP`, up to Go 1.25 `runtime.exitsyscall0`: there is no other one either.
    pub no_processor: ProbeSite,
    /// `runtime.coroswitch_m`: it waits, and the coroutine that its `coroarg` points to runs. None for a program without coroutines.
    pub coroutine_switch: Option<ProbeSite>,
    /// `runtime.dropm`: a thread that C made gives the goroutine back that it ran Go code on. g or its scheduling stack is in r14. None for
    /// a program without C code.
    pub drop_m: Option<ProbeSite>,
}

impl StateSites {
    /// Status `_Gdead` of `runtime/runtime2.go`.
    pub const DEAD: u32 = 6;
}

impl Finder<'_, '_> {
    /// None where one of the functions is missing or not of a known shape.
    pub(crate) fn state_sites(&self) -> Option<StateSites> {
        let site = |name| self.site(name, Frameless::Refused);
        // The newer name first: an older program has no such function, but a newer one may have both.
        let either = |new, old| site(new).or_else(|_| site(old)).ok();
        Some(StateSites {
            creates: self.creates()?,
            destroy: either("runtime.gdestroy", "runtime.goexit0")?,
            yields: [
                site("runtime.goschedImpl").ok()?,
                site("runtime.goyield_m").ok()?,
                site("runtime.preemptPark").ok()?,
            ],
            lost_processor: either("runtime.exitsyscallTryGetP", "runtime.exitsyscallfast_pidle")?,
            no_processor: either("runtime.exitsyscallNoP", "runtime.exitsyscall0")?,
            coroutine_switch: site("runtime.coroswitch_m").ok(),
            drop_m: site("runtime.dropm").ok().filter(|_| self.calls_c),
        })
    }

    fn creates(&self) -> Option<Vec<ProbeSite>> {
        let caller = self.function("runtime.newproc1").ok()?;
        let calls = self.calls(&caller)?;
        let creates = calls.iter().filter(|&&(_, target)| self.begins_at("runtime.casgstatus", target));
        let sites: Option<Vec<_>> = creates.map(|&(offset, _)| self.instruction(&caller, offset)).collect();
        sites.filter(|sites| !sites.is_empty())
    }
}
