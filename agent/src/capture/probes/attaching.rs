//! The probes of one binary, from reading it to detaching them.

use std::thread::JoinHandle;

use aya::programs::uprobe::UProbeLink;
use syncline_bpf::program;
use syncline_gosym::{CgoSites, ProbeSite, ProbeSites, StateSites};

use crate::capture::binary::Binary;
use crate::capture::error::Refusal;
use crate::capture::executable::{Executable, FileId};
use crate::capture::kernel::Programs;

/// The probes of a binary, in the order of detaching: parking first, so that nothing parks any more that nobody would see
/// running again.
pub(super) struct Links(pub(super) Vec<UProbeLink>);

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
    std::thread::spawn(move || drop(links))
}

/// Attaches in the reverse order of detaching: parking last.
pub(super) fn attach(
    binary: &Binary,
    sites: &ProbeSites,
    cookie: u32,
    programs: &mut Programs,
) -> Result<Links, Refusal> {
    let mut one = |name, function, site| attach_one(binary, (name, function, site), cookie, programs);
    let execute = one(program::EXECUTE, "runtime.execute", &sites.execute)?;
    let ready = one(program::READY, "runtime.ready", &sites.ready)?;
    let netpollready = one(program::NETPOLLREADY, "runtime.netpollready", &sites.netpollready)?;
    let park = one(program::PARK, "runtime.gopark", &sites.gopark)?;
    Ok(Links(vec![park, ready, netpollready, execute]))
}

/// The way out first, for the same reason.
pub(super) fn attach_cgo(
    binary: &Binary,
    sites: &CgoSites,
    cookie: u32,
    programs: &mut Programs,
) -> Result<Links, Refusal> {
    let mut one = |name, site| attach_one(binary, (name, "runtime.cgocall", site), cookie, programs);
    let exit = one(program::CGO_EXIT, &sites.exit)?;
    let enter = one(program::CGO_ENTER, &sites.enter)?;
    Ok(Links(vec![enter, exit]))
}

/// In the order of detaching: what begins goroutines first, what ends them last.
pub(super) fn attach_states(
    binary: &Binary,
    sites: &StateSites,
    cookie: u32,
    programs: &mut Programs,
) -> Result<Links, Refusal> {
    let mut one = |name, function, site| attach_one(binary, (name, function, site), cookie, programs);
    let destroy = one(program::DESTROY, "runtime.gdestroy", &sites.destroy)?;
    let no_processor = one(program::NO_PROCESSOR, "runtime.exitsyscall0", &sites.no_processor)?;
    let lost_processor = one(program::LOST_PROCESSOR, "runtime.exitsyscallTryGetP", &sites.lost_processor)?;
    let mut links = Vec::new();
    for site in &sites.yields {
        links.push(one(program::YIELD, "runtime.goschedImpl", site)?);
    }
    if let Some(site) = &sites.coroutine_switch {
        links.push(one(program::COROUTINE_SWITCH, "runtime.coroswitch_m", site)?);
    }
    for site in &sites.creates {
        links.insert(0, one(program::CREATE, "runtime.newproc1", site)?);
    }
    links.extend([lost_processor, no_processor, destroy]);
    Ok(Links(links))
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
