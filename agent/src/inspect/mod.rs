//! `syncline-agent inspect`: what a Go program is to the agent, without observing it: its version, where probes would go, which offsets
//! they would use, and what would be captured of it.

mod report;

use std::path::PathBuf;

use serde::Serialize;
use syncline_gosym::{Error, GoBinary, ProbeSite, ProbeSites, RuntimeLayout};

use crate::capture::{Binary, CaptureError, points};
use crate::kinds::{CaptureKind, Kinds};
pub use report::text;

/// What to inspect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A running process.
    Process(u32),
    /// A file.
    File(PathBuf),
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Where its file is, or was.
    pub executable: PathBuf,
    /// The processor that it is built for, as Go names it.
    pub machine: &'static str,
    /// The toolchain that built it, `go1.27.3`.
    pub go_version: String,
    /// Import path of its main package.
    pub module: Option<String>,
    /// How events name it (`build_id` in the store).
    pub build_id: u64,
    /// It is loaded wherever there is room.
    pub position_independent: bool,
    /// It has no table of symbols; nothing of it is needed.
    pub stripped: bool,
    /// Settings of its build, as `go version -m` tells them.
    pub settings: Vec<Setting>,
    /// Why its goroutines cannot be observed: what is captured of its threads is of no goroutine. None where they can.
    pub limited: Option<String>,
    /// Why its functions have no names in stacks; None where they have.
    pub nameless: Option<String>,
    /// What would be captured of it, of what is captured where nobody asks for more.
    pub kinds: Vec<Captured>,
    /// Where probes would go.
    pub probes: Vec<Probe>,
    /// Where the fields of the runtime's structures are; none where that is not known.
    pub offsets: Vec<Field>,
    /// Where those come from; None where they are not known.
    pub offsets_from: Option<String>,
}

/// A setting of its build.
#[derive(Debug, Serialize)]
pub struct Setting {
    /// Its name, `CGO_ENABLED`.
    pub name: String,
    /// Its value, `1`.
    pub value: String,
}

/// Whether a kind would be captured.
#[derive(Debug, Serialize)]
pub struct Captured {
    /// The kind, as options have it.
    pub kind: CaptureKind,
    /// Whether.
    pub captured: bool,
    /// Why not.
    pub why: Option<String>,
}

/// An instruction to probe.
#[derive(Debug, Serialize)]
pub struct Probe {
    /// What it is for.
    pub part: &'static str,
    /// The function that it is in.
    pub function: String,
    /// Its address at link time.
    pub vaddr: u64,
    /// Where it is in the file.
    pub file_offset: u64,
    /// The bytes from there on, which are compared before a probe is placed; hexadecimal.
    pub bytes: String,
}

/// A field of one of the runtime's structures.
#[derive(Debug, Serialize)]
pub struct Field {
    /// Its name, `g.goid`.
    pub name: &'static str,
    /// Its offset, bytes.
    pub offset: u16,
}

/// Looks at the subject.
///
/// # Errors
/// If it cannot be read, or is no Go program that is known.
pub fn inspect(subject: &Subject) -> Result<Inspection, CaptureError> {
    let binary = match subject {
        Subject::Process(pid) => Binary::of_process(*pid)?,
        Subject::File(path) => Binary::of_file(path)?,
    };
    let (go, sites) = (binary.go(), binary.probe_sites());
    let layout = go.layout().ok();
    Ok(Inspection {
        executable: binary.path().to_owned(),
        machine: go.machine().name(),
        go_version: go.version().text.clone(),
        module: go.module_path().map(str::to_owned),
        build_id: binary.build_id(),
        position_independent: go.is_position_independent(),
        stripped: !go.has_symbol_table(),
        settings: go
            .build_settings()
            .map(|(name, value)| Setting { name: name.to_owned(), value: value.to_owned() })
            .collect(),
        limited: sites.err().map(ToString::to_string),
        nameless: go.symbolizer().err().map(|why| why.to_string()),
        kinds: Kinds::USUAL.list().into_iter().map(|kind| captured(kind, &binary, sites)).collect(),
        probes: sites.into_iter().flat_map(points).map(|(part, site)| probe(part, site, go)).collect(),
        offsets: layout.map(fields).unwrap_or_default(),
        offsets_from: layout.map(|layout| layout.source.to_string()),
    })
}

fn captured(kind: CaptureKind, binary: &Binary, sites: Result<&ProbeSites, &Error>) -> Captured {
    let other = || format!("it is built for {}, and this agent is not", binary.go().machine());
    let why = binary.check_machine().is_err().then(other).or_else(|| why_not(kind, sites));
    Captured { kind, captured: why.is_none(), why }
}

fn why_not(kind: CaptureKind, sites: Result<&ProbeSites, &Error>) -> Option<String> {
    match (kind, sites) {
        (CaptureKind::Park | CaptureKind::Cgo | CaptureKind::States, Err(error)) => Some(error.to_string()),
        (CaptureKind::Cgo, Ok(sites)) if sites.cgo.is_none() => {
            Some("it calls no C code, or runtime.cgocall is not of a known shape".to_owned())
        }
        (CaptureKind::States, Ok(sites)) if sites.states.is_none() => {
            Some("a function of Go's scheduler is missing or not of a known shape".to_owned())
        }
        _ => None,
    }
}

fn probe(part: &'static str, site: &ProbeSite, go: &GoBinary<'_>) -> Probe {
    let function = go.symbolizer().ok().and_then(|symbolizer| symbolizer.function_at(site.function_vaddr));
    let function = function.map(|function| function.name);
    Probe {
        part,
        function: function.unwrap_or_default(),
        vaddr: site.vaddr,
        file_offset: site.file_offset,
        bytes: site.expected.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    }
}

fn fields(layout: &RuntimeLayout) -> Vec<Field> {
    let field = |name, offset| Field { name, offset };
    let mut fields = vec![
        field("g.stack.lo", layout.g_stack_lo),
        field("g.stack.hi", layout.g_stack_hi),
        field("g.m", layout.g_m),
        field("g.sched.sp", layout.g_sched_sp),
        field("g.sched.pc", layout.g_sched_pc),
        field("g.sched.g", layout.g_sched_g),
        field("g.sched.bp", layout.g_sched_bp),
        field("g.syscallsp", layout.g_syscallsp),
        field("g.syscallpc", layout.g_syscallpc),
        field("g.atomicstatus", layout.g_atomicstatus),
        field("g.goid", layout.g_goid),
        field("g.waitreason", layout.g_waitreason),
        field("g.labels", layout.g_labels),
        field("m.g0", layout.m_g0),
        field("m.procid", layout.m_procid),
        field("m.curg", layout.m_curg),
        field("m.ncgo", layout.m_ncgo),
        field("pollDesc.fd", layout.polldesc_fd),
        field("pollDesc.rg", layout.polldesc_rg),
        field("pollDesc.wg", layout.polldesc_wg),
        field("moduledata.gofunc", layout.moduledata_gofunc),
    ];
    fields.extend(layout.g_coroarg.map(|offset| field("g.coroarg", offset)));
    fields
}
