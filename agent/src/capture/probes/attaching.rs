//! The probes of one binary, from reading it to detaching them.

use std::thread::JoinHandle;

use aya::programs::uprobe::UProbeLink;
use syncline_bpf::program;
use syncline_gosym::{CgoSites, ProbeSite, ProbeSites, StateSites};

use crate::capture::binary::Binary;
use crate::capture::error::Refusal;
use crate::capture::executable::{Executable, FileId};
use crate::capture::kernel::Programs;

/// Probes of a binary, by when they are to go: those where something begins first, so that nothing parks any more that nobody would
/// see running again.
#[derive(Default)]
pub(super) struct Links {
    beginnings: Vec<UProbeLink>,
    ends: Vec<UProbeLink>,
}

impl Links {
    /// Both.
    pub(super) fn and(mut self, others: Self) -> Self {
        self.beginnings.extend(others.beginnings);
        self.ends.extend(others.ends);
        self
    }

    /// Detaches. The kernel needs some 100 ms for each (it waits for all CPUs), and no longer for many at once.
    fn detach(self) {
        for links in [self.beginnings, self.ends] {
            std::thread::scope(|scope| {
                for link in links {
                    // One that no thread is to be had for is dropped here.
                    let _ = std::thread::Builder::new().spawn_scoped(scope, move || drop(link));
                }
            });
        }
    }
}

pub(super) fn read_new(
    file: FileId,
    open: impl FnOnce() -> std::io::Result<Executable>,
) -> Result<(Binary, ProbeSites), Refusal> {
    let executable = open().map_err(Refusal::of_unopened)?;
    if executable.id.inode != file.inode {
        return Err(Refusal::Ended);
    }
    let binary = Binary::read(executable)?;
    let sites = binary.probe_sites()?;
    Ok((binary, sites))
}

pub(super) fn detach_in_background(links: Links) -> JoinHandle<()> {
    std::thread::spawn(move || links.detach())
}

/// Attaches in the reverse order of detaching: parking last.
pub(super) fn attach(
    binary: &Binary,
    sites: &ProbeSites,
    cookie: u32,
    programs: &mut Programs,
) -> Result<Links, Refusal> {
    let mut one = |name, function, site| attach_one(binary, (name, function, site), cookie, programs);
    let ends = vec![
        one(program::EXECUTE, "runtime.execute", &sites.execute)?,
        one(program::READY, "runtime.ready", &sites.ready)?,
        one(program::NETPOLLREADY, "runtime.netpollready", &sites.netpollready)?,
    ];
    Ok(Links { ends, beginnings: vec![one(program::PARK, "runtime.gopark", &sites.gopark)?] })
}

/// The way out first, for the same reason.
pub(super) fn attach_cgo(
    binary: &Binary,
    sites: &CgoSites,
    cookie: u32,
    programs: &mut Programs,
) -> Result<Links, Refusal> {
    let mut one = |name, site| attach_one(binary, (name, "runtime.cgocall", site), cookie, programs);
    let ends = vec![one(program::CGO_EXIT, &sites.exit)?];
    Ok(Links { ends, beginnings: vec![one(program::CGO_ENTER, &sites.enter)?] })
}

/// What ends goroutines first, and what begins them last.
pub(super) fn attach_states(
    binary: &Binary,
    sites: &StateSites,
    cookie: u32,
    programs: &mut Programs,
) -> Result<Links, Refusal> {
    let mut one = |name, function, site| attach_one(binary, (name, function, site), cookie, programs);
    let ends = vec![
        one(program::DESTROY, "runtime.gdestroy", &sites.destroy)?,
        one(program::NO_PROCESSOR, "runtime.exitsyscallNoP", &sites.no_processor)?,
        one(program::LOST_PROCESSOR, "runtime.exitsyscallTryGetP", &sites.lost_processor)?,
    ];
    let mut beginnings = Vec::new();
    for (site, function) in sites.yields.iter().zip(["runtime.goschedImpl", "runtime.goyield_m", "runtime.preemptPark"])
    {
        beginnings.push(one(program::YIELD, function, site)?);
    }
    if let Some(site) = &sites.coroutine_switch {
        beginnings.push(one(program::COROUTINE_SWITCH, "runtime.coroswitch_m", site)?);
    }
    for site in &sites.creates {
        beginnings.push(one(program::CREATE, "runtime.newproc1", site)?);
    }
    Ok(Links { beginnings, ends })
}

fn attach_one(
    binary: &Binary,
    (name, function, site): (&str, &'static str, &ProbeSite),
    cookie: u32,
    programs: &mut Programs,
) -> Result<UProbeLink, Refusal> {
    binary.verify(function, site.file_offset, &site.expected)?;
    programs.attach(name, &binary.attach_path(), site.file_offset, cookie).map_err(Refusal::from)
}
