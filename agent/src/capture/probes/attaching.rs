//! The probes of one binary, from reading it to detaching them.

use std::thread::JoinHandle;

use syncline_bpf::program;
use syncline_gosym::{CallbackSites, CgoSites, ProbeSite, ProbeSites, StateSites};

use super::part::Part;
use crate::capture::binary::Binary;
use crate::capture::error::Refusal;
use crate::capture::executable::{Executable, FileId};
use crate::capture::kernel::{ProbeLink, Programs};

/// Probes of a binary, by when they are to go: those where something begins first, so that nothing parks any more that nobody would
/// see running again.
#[derive(Default)]
pub(super) struct Links {
    beginnings: Vec<ProbeLink>,
    ends: Vec<ProbeLink>,
}

impl Links {
    /// Both.
    pub(super) fn and(mut self, others: Self) -> Self {
        self.beginnings.extend(others.beginnings);
        self.ends.extend(others.ends);
        self
    }

    /// The same, with nothing to go before anything else: for when none of them does anything any more.
    pub(super) fn in_any_order(mut self) -> Self {
        self.beginnings.append(&mut self.ends);
        self
    }

    /// Detaches. The kernel needs some 100 ms for each (it waits for all CPUs), and for links of uprobes no longer for many at once.
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

pub(super) fn read_new(file: FileId, open: impl FnOnce() -> std::io::Result<Executable>) -> Result<Binary, Refusal> {
    let executable = open().map_err(Refusal::of_unopened)?;
    if executable.id.inode != file.inode {
        return Err(Refusal::Ended);
    }
    let binary = Binary::read(executable)?;
    binary.check_machine()?;
    Ok(binary)
}

pub(super) fn detach_in_background(links: Links) -> JoinHandle<()> {
    std::thread::spawn(move || links.detach())
}

/// Attaches one part, in the reverse order of detaching. Of a part that the binary does not have there is nothing to attach.
pub(super) fn attach(binary: &Binary, part: Part, cookie: u32, programs: &mut Programs) -> Result<Links, Refusal> {
    let mut all = |sites: Vec<Site<'_>>| -> Result<Vec<ProbeLink>, Refusal> {
        sites.into_iter().map(|site| attach_one(binary, site, cookie, programs)).collect()
    };
    let (ends, beginnings) = binary.probe_sites().map(|sites| of_part(part, sites)).unwrap_or_default();
    Ok(Links { ends: all(ends)?, beginnings: all(beginnings)? })
}

fn of_part(part: Part, sites: &ProbeSites) -> EndsAndBeginnings<'_> {
    match part {
        Part::States => sites.states.as_ref().map(states).unwrap_or_default(),
        Part::Threads => (vec![(program::EXECUTE, "runtime.execute", &sites.execute)], Vec::new()),
        Part::Parks => parks(sites),
        Part::Cgo => sites.cgo.as_ref().map(cgo).unwrap_or_default(),
    }
}

/// Where the probes of a part go, in the order of attaching.
pub(super) fn points(part: Part, sites: &ProbeSites) -> Vec<&ProbeSite> {
    let (ends, beginnings) = of_part(part, sites);
    ends.into_iter().chain(beginnings).map(|(_, _, site)| site).collect()
}

/// A program, the function it is for, and where in it.
type Site<'a> = (&'static str, &'static str, &'a ProbeSite);

/// What ends something, and what begins it.
type EndsAndBeginnings<'a> = (Vec<Site<'a>>, Vec<Site<'a>>);

fn parks(sites: &ProbeSites) -> EndsAndBeginnings<'_> {
    let ends = vec![
        (program::READY, "runtime.ready", &sites.ready),
        (program::NETPOLLREADY, "runtime.netpollready", &sites.netpollready),
    ];
    (ends, vec![(program::PARK, "runtime.gopark", &sites.gopark)])
}

fn cgo(sites: &CgoSites) -> EndsAndBeginnings<'_> {
    let mut ends = vec![(program::CGO_EXIT, "runtime.cgocall", &sites.exit)];
    let mut beginnings = vec![(program::CGO_ENTER, "runtime.cgocall", &sites.enter)];
    if let Some(CallbackSites { enter, exit }) = &sites.callback {
        ends.push((program::CALLBACK_ENTER, "runtime.cgocallbackg", enter));
        beginnings.push((program::CALLBACK_EXIT, "runtime.cgocallbackg", exit));
    }
    (ends, beginnings)
}

/// What ends goroutines first, and what begins them last.
fn states(sites: &StateSites) -> EndsAndBeginnings<'_> {
    let mut ends = vec![
        (program::DESTROY, "runtime.gdestroy", &sites.destroy),
        (program::NO_PROCESSOR, "runtime.exitsyscallNoP", &sites.no_processor),
        (program::LOST_PROCESSOR, "runtime.exitsyscallTryGetP", &sites.lost_processor),
    ];
    ends.extend(sites.drop_m.iter().map(|site| (program::DROP_M, "runtime.dropm", site)));
    let functions = ["runtime.goschedImpl", "runtime.goyield_m", "runtime.preemptPark"];
    let yields = sites.yields.iter().zip(functions).map(|(site, function)| (program::YIELD, function, site));
    let switches = sites.coroutine_switch.iter().map(|site| (program::COROUTINE_SWITCH, "runtime.coroswitch_m", site));
    let creates = sites.creates.iter().map(|site| (program::CREATE, "runtime.newproc1", site));
    (ends, yields.chain(switches).chain(creates).collect())
}

fn attach_one(
    binary: &Binary,
    (name, function, site): Site<'_>,
    cookie: u32,
    programs: &mut Programs,
) -> Result<ProbeLink, Refusal> {
    binary.verify(function, site.file_offset, &site.expected)?;
    programs.attach(name, &binary.attach_path(), site.file_offset, cookie).map_err(Refusal::from)
}
