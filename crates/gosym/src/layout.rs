//! Where the fields of the Go runtime's structures lie: a table per Go minor version, for programs without debug information.
//!
//! Source: the DWARF of programs built with the release named in `measured_on` (amd64; arm64 is the same for every field
//! listed). Go does not move these fields within a minor version: its patch releases only mend faults. The tests compare
//! the tables with the DWARF of the programs that they build.

/// Byte offsets of the runtime's fields that a probe reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeLayout {
    /// Where the numbers come from.
    pub source: LayoutSource,
    /// Offset of `g.stack.lo`, the lowest address of the stack.
    pub g_stack_lo: u16,
    /// Offset of `g.stack.hi`, the end of the stack.
    pub g_stack_hi: u16,
    /// Offset of `g.m`, the thread structure that runs the goroutine.
    pub g_m: u16,
    /// Offset of `g.sched.sp`, the saved stack pointer.
    pub g_sched_sp: u16,
    /// Offset of `g.sched.pc`, the saved program counter.
    pub g_sched_pc: u16,
    /// Offset of `g.sched.g`, which is the goroutine's own address.
    pub g_sched_g: u16,
    /// Offset of `g.sched.bp`, the saved frame pointer.
    pub g_sched_bp: u16,
    /// Offset of `g.syscallsp`, the stack pointer of the call into the kernel or C code; 0 outside of one.
    pub g_syscallsp: u16,
    /// Offset of `g.syscallpc`, its program counter.
    pub g_syscallpc: u16,
    /// Offset of `g.atomicstatus` (u32).
    pub g_atomicstatus: u16,
    /// Offset of `g.goid` (u64).
    pub g_goid: u16,
    /// Offset of `g.waitreason` (u8).
    pub g_waitreason: u16,
    /// Offset of `g.labels`, the pointer to the goroutine's profiler labels.
    pub g_labels: u16,
    /// Offset of `g.coroarg`, the coroutine that a goroutine changes over to; None where there are none.
    pub g_coroarg: Option<u16>,
    /// What `g.labels` points to; None where that is not known.
    pub labels_form: Option<LabelsForm>,
    /// Offset of `m.g0`, the thread's scheduling goroutine (its goid is 0).
    pub m_g0: u16,
    /// Offset of `m.procid`, the thread id as the process itself sees it (u64).
    pub m_procid: u16,
    /// Offset of `m.curg`, the user goroutine on the thread.
    pub m_curg: u16,
    /// Offset of `m.ncgo`, the number of calls to C in progress (i32).
    pub m_ncgo: u16,
    /// Offset of `pollDesc.fd` (usize).
    pub polldesc_fd: u16,
    /// Offset of `pollDesc.rg`, the goroutine waiting to read.
    pub polldesc_rg: u16,
    /// Offset of `pollDesc.wg`, the goroutine waiting to write.
    pub polldesc_wg: u16,
    /// Offset of `moduledata.gofunc`, the base of the function data.
    pub moduledata_gofunc: u16,
    /// Offset of `moduledata.textsectmap`, a slice of the sections of the text.
    pub moduledata_textsectmap: u16,
}

impl RuntimeLayout {
    /// That of Go 1.`minor`; None for a version that has not been measured.
    pub fn of_minor(minor: u16) -> Option<&'static Self> {
        layout(minor)
    }
}

/// Where the offsets of a program come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutSource {
    /// The table of the program's Go version.
    Table {
        /// 27 for Go 1.27.
        minor: u16,
        /// The release whose debug information gave the numbers.
        measured_on: &'static str,
    },
    /// The program's own debug information.
    Dwarf,
}

impl std::fmt::Display for LayoutSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LayoutSource::Table { minor, measured_on } => {
                write!(formatter, "the table of Go 1.{minor}, measured on go{measured_on}")
            }
            LayoutSource::Dwarf => formatter.write_str("the program's debug information"),
        }
    }
}

/// How a Go version keeps the profiler labels of a goroutine (`labelMap` in `runtime/pprof/label.go`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelsForm {
    /// As a pointer to a `map[string]string`.
    Map,
    /// As a pointer to a structure that begins with a slice of pairs of strings.
    Slice,
}

/// The oldest and the newest Go minor version with a table.
pub(crate) const SUPPORTED_MINORS: (u16, u16) = (21, 27);

/// The layout of Go 1.`minor`, or None when that version has not been measured.
pub(crate) fn layout(minor: u16) -> Option<&'static RuntimeLayout> {
    let is_of = |layout: &&RuntimeLayout| matches!(layout.source, LayoutSource::Table { minor: of, .. } if of == minor);
    LAYOUTS.iter().find(is_of)
}

static LAYOUTS: [RuntimeLayout; 7] = [
    RuntimeLayout {
        source: LayoutSource::Table { minor: 21, measured_on: "1.21.13" },
        g_stack_lo: 0,
        g_stack_hi: 8,
        g_m: 48,
        g_sched_sp: 56,
        g_sched_pc: 64,
        g_sched_g: 72,
        g_sched_bp: 104,
        g_syscallsp: 112,
        g_syscallpc: 120,
        g_atomicstatus: 144,
        g_goid: 152,
        g_waitreason: 176,
        g_labels: 344,
        g_coroarg: None,
        labels_form: Some(LabelsForm::Map),
        m_g0: 0,
        m_procid: 72,
        m_curg: 192,
        m_ncgo: 312,
        polldesc_fd: 8,
        polldesc_rg: 32,
        polldesc_wg: 40,
        moduledata_gofunc: 320,
        moduledata_textsectmap: 328,
    },
    RuntimeLayout {
        source: LayoutSource::Table { minor: 22, measured_on: "1.22.10" },
        g_stack_lo: 0,
        g_stack_hi: 8,
        g_m: 48,
        g_sched_sp: 56,
        g_sched_pc: 64,
        g_sched_g: 72,
        g_sched_bp: 104,
        g_syscallsp: 112,
        g_syscallpc: 120,
        g_atomicstatus: 144,
        g_goid: 152,
        g_waitreason: 176,
        g_labels: 344,
        g_coroarg: Some(368),
        labels_form: Some(LabelsForm::Map),
        m_g0: 0,
        m_procid: 72,
        m_curg: 192,
        m_ncgo: 304,
        polldesc_fd: 8,
        polldesc_rg: 32,
        polldesc_wg: 40,
        moduledata_gofunc: 320,
        moduledata_textsectmap: 328,
    },
    RuntimeLayout {
        source: LayoutSource::Table { minor: 23, measured_on: "1.23.9" },
        g_stack_lo: 0,
        g_stack_hi: 8,
        g_m: 48,
        g_sched_sp: 56,
        g_sched_pc: 64,
        g_sched_g: 72,
        g_sched_bp: 104,
        g_syscallsp: 112,
        g_syscallpc: 120,
        g_atomicstatus: 152,
        g_goid: 160,
        g_waitreason: 184,
        g_labels: 352,
        g_coroarg: Some(384),
        labels_form: Some(LabelsForm::Map),
        m_g0: 0,
        m_procid: 72,
        m_curg: 192,
        m_ncgo: 304,
        polldesc_fd: 8,
        polldesc_rg: 32,
        polldesc_wg: 40,
        moduledata_gofunc: 320,
        moduledata_textsectmap: 328,
    },
    RuntimeLayout {
        source: LayoutSource::Table { minor: 24, measured_on: "1.24.11" },
        g_stack_lo: 0,
        g_stack_hi: 8,
        g_m: 48,
        g_sched_sp: 56,
        g_sched_pc: 64,
        g_sched_g: 72,
        g_sched_bp: 104,
        g_syscallsp: 112,
        g_syscallpc: 120,
        g_atomicstatus: 152,
        g_goid: 160,
        g_waitreason: 184,
        g_labels: 352,
        g_coroarg: Some(384),
        labels_form: Some(LabelsForm::Slice),
        m_g0: 0,
        m_procid: 72,
        m_curg: 192,
        m_ncgo: 328,
        polldesc_fd: 8,
        polldesc_rg: 32,
        polldesc_wg: 40,
        moduledata_gofunc: 320,
        moduledata_textsectmap: 328,
    },
    RuntimeLayout {
        source: LayoutSource::Table { minor: 25, measured_on: "1.25.5" },
        g_stack_lo: 0,
        g_stack_hi: 8,
        g_m: 48,
        g_sched_sp: 56,
        g_sched_pc: 64,
        g_sched_g: 72,
        g_sched_bp: 96,
        g_syscallsp: 104,
        g_syscallpc: 112,
        g_atomicstatus: 144,
        g_goid: 152,
        g_waitreason: 176,
        g_labels: 344,
        g_coroarg: Some(376),
        labels_form: Some(LabelsForm::Slice),
        m_g0: 0,
        m_procid: 64,
        m_curg: 184,
        m_ncgo: 320,
        polldesc_fd: 8,
        polldesc_rg: 32,
        polldesc_wg: 40,
        moduledata_gofunc: 320,
        moduledata_textsectmap: 328,
    },
    RuntimeLayout {
        source: LayoutSource::Table { minor: 26, measured_on: "1.26.6" },
        g_stack_lo: 0,
        g_stack_hi: 8,
        g_m: 48,
        g_sched_sp: 56,
        g_sched_pc: 64,
        g_sched_g: 72,
        g_sched_bp: 96,
        g_syscallsp: 104,
        g_syscallpc: 112,
        g_atomicstatus: 144,
        g_goid: 152,
        g_waitreason: 176,
        g_labels: 352,
        g_coroarg: Some(384),
        labels_form: Some(LabelsForm::Slice),
        m_g0: 0,
        m_procid: 64,
        m_curg: 184,
        m_ncgo: 328,
        polldesc_fd: 8,
        polldesc_rg: 32,
        polldesc_wg: 40,
        moduledata_gofunc: 320,
        moduledata_textsectmap: 336,
    },
    RuntimeLayout {
        source: LayoutSource::Table { minor: 27, measured_on: "1.27.3" },
        g_stack_lo: 0,
        g_stack_hi: 8,
        g_m: 48,
        g_sched_sp: 56,
        g_sched_pc: 64,
        g_sched_g: 72,
        g_sched_bp: 96,
        g_syscallsp: 104,
        g_syscallpc: 112,
        g_atomicstatus: 144,
        g_goid: 152,
        g_waitreason: 176,
        g_labels: 352,
        g_coroarg: Some(384),
        labels_form: Some(LabelsForm::Slice),
        m_g0: 0,
        m_procid: 64,
        m_curg: 184,
        m_ncgo: 328,
        polldesc_fd: 8,
        polldesc_rg: 32,
        polldesc_wg: 40,
        moduledata_gofunc: 344,
        moduledata_textsectmap: 360,
    },
];
