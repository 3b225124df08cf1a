//! One Go executable or library: its version, probe sites and symbols, read from a mapping of the file.
#![allow(unsafe_code)] // mmap, and a parsed view kept beside the mapping that it borrows

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use memmap2::{Mmap, UncheckedAdvice};
use syncline_bpf::{self as bpf, BinaryLayout};
use syncline_gosym::{
    Error, Frame, FrameCache, GoBinary, LabelsForm, Machine, ProbeSites, RuntimeLayout, TextSegment, ThreadLocalG,
};

use super::error::{CaptureError, Refusal};
use super::executable::{Executable, FileId};
use super::frames::Module;
use super::library::{Copied, Libraries};
use super::texts;

/// Bytes of memory, at most, for the functions of stacks that were met: some thousand large ones.
const FRAME_CACHE: usize = 4 << 20;

/// An executable built by Go that is, or was, observed.
#[derive(Debug)]
pub struct Binary {
    // Declared before the content: fields are dropped in order, so the views never outlive the bytes they borrow.
    go: GoBinary<'static>,
    frames: Option<Mutex<FrameCache<'static>>>,
    content: Content,
    executable: Executable,
    /// See [`Self::as_module`].
    module: OnceLock<Arc<Module>>,
    build_id: u64,
    /// Where its goroutines can be probed, or why they cannot.
    sites: Result<ProbeSites, Error>,
    /// By number.
    wait_reasons: Vec<&'static str>,
    /// Found out once, since it takes looking through all names.
    thread_local_g: Option<ThreadLocalG>,
    loads_plugins: bool,
}

/// The bytes of a file.
#[derive(Debug)]
enum Content {
    /// Of an executable, which cannot be written to while it runs.
    Mapped(Mmap),
    /// Of a library, which others may write to at any time: a copy.
    Copied(Copied),
}

impl Content {
    fn of(executable: &mut Executable) -> Result<Self, Refusal> {
        executable.copied.take().map_or_else(|| map(executable).map(Self::Mapped), |copied| Ok(Self::Copied(copied)))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Copied(copied) => copied.bytes(),
        }
    }
}

impl Binary {
    /// Reads an open file. Cheap refusal of what is not Go: only headers are touched.
    pub(super) fn read(mut executable: Executable) -> Result<Self, Refusal> {
        let content = Content::of(&mut executable)?;
        // SAFETY: the address of the bytes does not change when the `Mmap` or the `Vec` of a copy moves, and they stay there until `content` is
        // dropped, which happens after `go` and `frames` (field order); nothing writes to the `Vec`. These never leave this struct but by
        // a borrow of it; what their methods return is owned, truly static, or given out with the lifetime of such a borrow. Needed
        // because a struct cannot name a borrow of its own field. Mapped bytes do not change either while a process runs the file:
        // the kernel refuses to write to it (ETXTBSY).
        let bytes: &'static [u8] =
            unsafe { std::slice::from_raw_parts(content.bytes().as_ptr(), content.bytes().len()) };
        let go = GoBinary::parse(bytes).map_err(|cause| Refusal::Binary { exe: executable.path.clone(), cause })?;
        let (build_id, sites) = (go.build_id(), go.probe_sites());
        let wait_reasons = (0..=u8::MAX).map_while(|number| go.wait_reason(number)).map(texts::kept).collect();
        let frames = go.symbolizer().ok().map(|symbolizer| Mutex::new(FrameCache::new(symbolizer, FRAME_CACHE)));
        let module = OnceLock::new();
        let (thread_local_g, loads_plugins) = (go.thread_local_g(), go.loads_plugins());
        let binary = Self {
            go,
            frames,
            content,
            executable,
            module,
            build_id,
            sites,
            wait_reasons,
            thread_local_g,
            loads_plugins,
        };
        binary.let_pages_go();
        Ok(binary)
    }

    /// What was looked through to find out about it, as a position-independent program's relocations, is hardly needed again: it counts as
    /// ours as long as it is mapped in.
    fn let_pages_go(&self) {
        let Content::Mapped(map) = &self.content else { return };
        // SAFETY: it is a read-only mapping of a file: its pages come back from there as they are touched again. Needed because there is
        // no other way to give them back.
        let advised = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
        // Nothing is wrong where the kernel does not do it.
        drop(advised);
    }

    /// That of a file.
    ///
    /// # Errors
    /// If it cannot be opened, or is no Go program that is known.
    pub(crate) fn of_file(path: &Path) -> Result<Self, CaptureError> {
        let cannot_open = |cause| CaptureError::Executable { path: path.to_owned(), cause };
        Self::known(Executable::open(path.to_owned()).map_err(cannot_open)?, || "the executable".to_owned())
    }

    /// That of a process, also if its file was deleted.
    ///
    /// # Errors
    /// If there is none, it may not be looked at, or what it runs is no Go program that is known.
    pub(crate) fn of_process(pid: u32) -> Result<Self, CaptureError> {
        let what = || format!("process {pid}");
        let unopened = |cause| match Refusal::of_unopened(cause) {
            Refusal::Ended => CaptureError::NoSuchProcess { pid },
            why => CaptureError::Refused { what: what(), why: Arc::new(why) },
        };
        let executable = Executable::of_process(pid).map_err(unopened)?;
        let file = executable.id;
        let not_go = match Self::read(executable) {
            Err(why) if why.is_not_go() => why,
            read => return read.map_err(|why| CaptureError::Refused { what: what(), why: Arc::new(why) }),
        };
        // A library's reason says more than that the executable is no Go program.
        let libraries = Libraries::default();
        let mut refused = None;
        for library in libraries.of_process(pid, file) {
            match libraries.open(&library).map_err(|cause| Refusal::of_library(&library, cause)).and_then(Self::read) {
                Ok(binary) => return Ok(binary),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        Err(CaptureError::Refused { what: what(), why: Arc::new(refused.unwrap_or(not_go)) })
    }

    fn known(executable: Executable, what: impl Fn() -> String) -> Result<Self, CaptureError> {
        Self::read(executable).map_err(|why| CaptureError::Refused { what: what(), why: Arc::new(why) })
    }

    /// Whether it may load plugins.
    pub(super) fn loads_plugins(&self) -> bool {
        self.loads_plugins
    }

    /// Whether it is a library with a runtime of its own, as far as its build info says how it was built.
    pub(super) fn is_c_shared(&self) -> bool {
        self.go.build_settings().any(|setting| setting == ("-buildmode", "c-shared"))
    }

    /// Whether it is a library, which others may write to while it is used, and has been written to since it was read.
    pub(super) fn is_replaced(&self) -> bool {
        matches!(self.content, Content::Copied(_)) && !self.executable.is_unchanged()
    }

    /// Whether its bytes can be looked at: those of an executable that was overwritten after its last process ended cannot.
    fn can_be_read(&self) -> bool {
        matches!(self.content, Content::Copied(_)) || self.executable.is_unchanged()
    }

    /// What is known of it.
    pub(crate) fn go(&self) -> &GoBinary<'_> {
        &self.go
    }

    /// A number that is the same for all copies of one build.
    #[must_use]
    pub fn build_id(&self) -> u64 {
        self.build_id
    }

    /// The Go version that built it, e.g. `go1.24.11`.
    #[must_use]
    pub fn go_version(&self) -> &str {
        &self.go.version().text
    }

    /// Import path of the main package; None for a program built without modules.
    #[must_use]
    pub fn module_path(&self) -> Option<&str> {
        self.go.module_path()
    }

    /// Where the executable was when it was first seen.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.executable.path
    }

    /// Go's text for a wait reason's number; None for a number that this version does not have.
    #[must_use]
    pub fn wait_reason(&self, number: u8) -> Option<&'static str> {
        self.wait_reasons.get(usize::from(number)).copied()
    }

    /// The calls at a link-time address, innermost first (inlined ones, then the function). Every address of a captured
    /// stack is a return address: it belongs to the instruction before. Empty when no Go function lies there, when its table is
    /// obfuscated, or when the file was overwritten after its last process ended.
    #[must_use]
    pub fn symbolize(&self, vaddr: u64, is_return_address: bool) -> Vec<Frame<'_>> {
        // A file cut short under a mapping would end us with SIGBUS; while a process runs it, that cannot happen.
        if !self.can_be_read() {
            return Vec::new();
        }
        let Some(frames) = &self.frames else { return Vec::new() };
        // A cache that was left in the middle of something is still one.
        let mut frames = frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.frames(vaddr.saturating_sub(u64::from(is_return_address))).to_vec()
    }

    /// Whether the function that a return address at its own stack's top leads back to has no frame there, so that the word on top of
    /// the stack is its caller's return address. False where no Go function lies there.
    pub(super) fn is_frameless_at(&self, vaddr: u64) -> bool {
        self.stack_delta_at(vaddr) == Some(0)
    }

    /// See [`syncline_gosym::Symbolizer::stack_delta_at`].
    pub(super) fn stack_delta_at(&self, vaddr: u64) -> Option<i32> {
        self.can_be_read().then(|| self.go.symbolizer().ok()?.stack_delta_at(vaddr)).flatten()
    }

    /// See [`GoBinary::all_goroutines`].
    pub(super) fn all_goroutines(&self) -> Option<u64> {
        self.can_be_read().then(|| self.go.all_goroutines()).flatten()
    }

    /// Where its runtime's fields are; None where its goroutines cannot be observed.
    pub(super) fn layout(&self) -> Option<&RuntimeLayout> {
        self.sites.as_ref().ok().and_then(|_| self.go.layout().ok())
    }

    /// The number of the wait reason of a goroutine that has changed over to a coroutine; 0, Go's "no reason", where there are none.
    fn coroutine_reason(&self) -> u32 {
        (1..=u8::MAX).find(|number| self.wait_reason(*number) == Some("coroutine")).map_or(0, u32::from)
    }

    pub(super) fn file_id(&self) -> FileId {
        self.executable.id
    }

    pub(super) fn text_segment(&self) -> TextSegment {
        self.go.text_segment()
    }

    /// For a process whose goroutines' time is split by state, or is not. Where goroutines cannot be observed, no thread is bound to one.
    pub(super) fn kernel_layout(&self, has_states: bool) -> BinaryLayout {
        let Some(layout) = self.layout() else { return BinaryLayout::default() };
        BinaryLayout {
            g_goid: layout.g_goid.into(),
            g_m: layout.g_m.into(),
            g_sched_pc: layout.g_sched_pc.into(),
            g_sched_bp: layout.g_sched_bp.into(),
            m_curg: layout.m_curg.into(),
            polldesc_fd: layout.polldesc_fd.into(),
            polldesc_rg: layout.polldesc_rg.into(),
            polldesc_wg: layout.polldesc_wg.into(),
            g_stack_lo: layout.g_stack_lo.into(),
            g_stack_hi: layout.g_stack_hi.into(),
            m_ncgo: layout.m_ncgo.into(),
            tls_g: match self.thread_local_g {
                Some(ThreadLocalG::Offset(offset)) => offset,
                // Told for each process.
                Some(ThreadLocalG::Slot(_)) | None => 0,
            },
            g_labels: layout.g_labels.into(),
            labels_form: layout.labels_form.map(|form| match form {
                LabelsForm::Map => bpf::LabelsForm::Map,
                LabelsForm::Slice => bpf::LabelsForm::Slice,
            }),
            g_coroarg: layout.g_coroarg.unwrap_or_default().into(),
            coroutine_reason: self.coroutine_reason(),
            has_states,
            g_waitreason: layout.g_waitreason.into(),
        }
    }

    /// Whether it runs on this machine: the programs in the kernel read the registers of the processor that they were built for.
    ///
    /// # Errors
    /// If it is for another one.
    pub(crate) fn check_machine(&self) -> Result<(), Refusal> {
        let machine = self.go.machine();
        if Machine::NATIVE == Some(machine) {
            return Ok(());
        }
        Err(Refusal::OtherMachine { exe: self.path().to_owned(), machine })
    }

    /// Where the dynamic linker keeps where a thread keeps its g, a link-time address; None where the file says itself, or nobody does.
    pub(super) fn thread_local_slot(&self) -> Option<u64> {
        // Without it a g leads nowhere.
        self.layout()?;
        match self.thread_local_g? {
            ThreadLocalG::Slot(at) => Some(at),
            ThreadLocalG::Offset(_) => None,
        }
    }

    /// Where to probe its goroutines, or why that cannot be done: then only its threads are observed.
    pub(crate) fn probe_sites(&self) -> Result<&ProbeSites, &Error> {
        self.sites.as_ref()
    }

    /// A path that leads to exactly this file as long as this value lives.
    pub(super) fn attach_path(&self) -> PathBuf {
        self.executable.own_path()
    }

    /// As a file of code, to name what is not Go's in it; none if it cannot be opened again.
    pub(super) fn as_module(&self) -> Option<Arc<Module>> {
        if let Some(module) = self.module.get() {
            return Some(Arc::clone(module));
        }
        let name = self.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let module = Module::of_executable(&self.executable.file, self.executable.id, name, self.build_id).ok()?;
        Some(Arc::clone(self.module.get_or_init(|| Arc::new(module))))
    }

    /// Compares the file with what was analysed. Called right before a probe is placed: one that lands inside another
    /// instruction would destroy the program.
    pub(super) fn verify(&self, function: &'static str, offset: u64, expected: &[u8]) -> Result<(), Refusal> {
        let exe = || self.path().to_owned();
        match self.executable.has_bytes_at(offset, expected) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::Changed { exe: exe(), function }),
            Err(cause) => Err(Refusal::Unreadable { exe: exe(), cause }),
        }
    }
}

fn map(executable: &Executable) -> Result<Mmap, Refusal> {
    // SAFETY: a mapping must not be changed under our reference. A running executable cannot be written to, and later reads
    // check first that the file is unchanged. Needed because binaries of 100 MB are common and only some pages are used.
    unsafe { Mmap::map(&executable.file) }.map_err(|cause| Refusal::Unreadable { exe: executable.path.clone(), cause })
}
