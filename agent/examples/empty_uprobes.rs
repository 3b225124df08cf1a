//! The floor under what capturing goroutines costs: a program that does nothing, at every place of a Go program where the agent has one.
//!
//! ```text
//! cargo run -p syncline-agent --example empty_uprobes -- GO_BINARY
//! ```
//!
//! Prints `ready` once it is attached, to all processes that run the file, and detaches at the end of its input.

use std::io::{Read as _, stdin};
use std::path::PathBuf;

use anyhow::Context;
use aya::EbpfLoader;
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope};
use syncline_agent::inspect::{Subject, inspect};
use syncline_bpf::program::MEASURE_WAY_IN;

fn main() -> anyhow::Result<()> {
    let path = std::env::args_os().nth(1).context("name a Go executable: empty_uprobes GO_BINARY")?;
    let path = PathBuf::from(path);
    let probes = inspect(&Subject::File(path.clone())).with_context(|| path.display().to_string())?.probes;
    anyhow::ensure!(!probes.is_empty(), "{}: the agent has no probes for it", path.display());
    let mut object = EbpfLoader::new().load(syncline_bpf::OBJECT).context("cannot load the BPF object")?;
    let empty: &mut UProbe =
        object.program_mut(MEASURE_WAY_IN).context("the object has no empty program")?.try_into()?;
    empty.load().context("cannot load the empty program")?;
    let mut attach = |offset| {
        let point = UProbeAttachPoint { location: UProbeAttachLocation::AbsoluteOffset(offset), cookie: None };
        let id = empty.attach(point, &path, UProbeScope::AllProcesses)?;
        empty.take_link(id)
    };
    let links: Vec<UProbeLink> =
        probes.iter().map(|probe| attach(probe.file_offset)).collect::<Result<_, _>>().context("cannot attach")?;
    println!("ready");
    stdin().read_to_end(&mut Vec::new())?;
    detach(links);
    Ok(())
}

/// At once: each takes the kernel a tenth of a second.
fn detach(links: Vec<UProbeLink>) {
    std::thread::scope(|scope| {
        for link in links {
            scope.spawn(move || drop(link));
        }
    });
}
