//! Pure reader of Go binaries: build info, probe sites, struct offsets, symbols.
//!
//! Input is the bytes of an ELF file, wherever they come from; nothing here opens files. The file comes from outside, so
//! every read is checked: a damaged or hostile file gives an [`Error`] or an "unknown", in bounded time and memory, and
//! never a panic.
//!
//! Everything works on stripped and position-independent programs of Go 1.21 to 1.27 for amd64 and arm64, because it rests on what
//! the Go runtime itself needs at run time: the function table, the module data and the build info. Of a program of another
//! version, or an obfuscated one, it is told what is known, and why the rest is not.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bytes = std::fs::read("program")?;
//! let binary = syncline_gosym::GoBinary::parse(&bytes)?;
//! let park = binary.probe_sites()?.gopark;
//! for frame in binary.symbolizer()?.frames(park.vaddr) {
//!     println!("{} at {}:{}", frame.function, frame.file, frame.line);
//! }
//! # Ok(())
//! # }
//! ```

mod all_goroutines;
mod arch;
mod build_id;
mod buildinfo;
mod bytes;
mod decoded;
mod dwarf;
mod elf;
mod error;
mod frame_cache;
mod inline_tree;
mod layout;
mod moduledata;
mod pc_values;
mod pclntab;
mod probe_site;
mod state_sites;
mod symbolizer;
mod thread_local;
mod wait_reasons;

pub use arch::Machine;
pub use buildinfo::{GoVersion, Release};
pub use elf::BUILD_INFO_SECTION;
pub use error::Error;
pub use frame_cache::FrameCache;
pub use layout::{LabelsForm, LayoutSource, RuntimeLayout};
pub use probe_site::{CallbackSites, CgoSites, EXPECTED_LENGTH, ProbeSite, ProbeSites};
pub use state_sites::StateSites;
pub use symbolizer::{Frame, FunctionRef, Symbolizer};
pub use thread_local::ThreadLocalG;
pub use wait_reasons::known_wait_reason;

use buildinfo::BuildInfo;
use elf::Image;
use moduledata::ModuleData;
use pclntab::Pclntab;

/// A parsed Go binary. Borrows the file's bytes.
#[derive(Debug, Clone)]
pub struct GoBinary<'data> {
    image: Image<'data>,
    machine: Machine,
    info: BuildInfo<'data>,
    runtime: Result<Runtime<'data>, Error>,
    code: Result<Code<'data>, Error>,
    text_segment: TextSegment,
}

/// What is known of the program's runtime.
#[derive(Debug, Clone)]
struct Runtime<'data> {
    layout: RuntimeLayout,
    wait_reasons: Vec<&'data str>,
}

/// What is known of its code.
#[derive(Debug, Clone, Copy)]
struct Code<'data> {
    table: Pclntab<'data>,
    module: ModuleData,
}

/// The load segment that holds the Go code, as the program headers give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextSegment {
    /// Link-time address of the first byte.
    pub vaddr: u64,
    /// Where the first byte lies in the file.
    pub file_offset: u64,
    /// Bytes of the segment in the file.
    pub size: u64,
}

impl<'data> GoBinary<'data> {
    /// Parses an executable or a shared library. What is wrong with a part of it shows where that part is asked for.
    ///
    /// # Errors
    /// [`Error::NotElf`], [`Error::NotGo`], [`Error::UnsupportedMachine`] for files that are something else; [`Error::Truncated`] and
    /// [`Error::Garbled`] for files that are damaged.
    pub fn parse(data: &'data [u8]) -> Result<GoBinary<'data>, Error> {
        let image = Image::parse(data)?;
        let info = BuildInfo::parse(&image)?;
        let unsupported = || Error::UnsupportedMachine { machine: image.machine };
        let machine = Machine::of_elf(image.machine).ok_or_else(unsupported)?;
        let known = known_layout(&info.version);
        let layout = dwarf::layout(&image, known).or_else(|| known.copied());
        let code = code(&image, machine, layout.as_ref());
        let runtime = runtime(&image, &info.version, layout, known.is_some());
        let text_segment = text_segment(&image, code.as_ref().ok())?;
        Ok(GoBinary { image, machine, info, runtime, code, text_segment })
    }

    /// The Go version that built the program.
    pub fn version(&self) -> &GoVersion {
        &self.info.version
    }

    /// The processor that it is built for.
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// The import path of the main package (`example.com/shop/cmd/cart`), or the main module's path when the build info has
    /// no more. None for a program that was built without modules.
    pub fn module_path(&self) -> Option<&str> {
        self.info.module_path()
    }

    /// How the program was built, as `go version -m` tells: names and values, such as `CGO_ENABLED` and `1`.
    pub fn build_settings(&self) -> impl Iterator<Item = (&'data str, &'data str)> {
        self.info.settings()
    }

    /// Whether the program is loaded wherever there is room.
    pub fn is_position_independent(&self) -> bool {
        self.image.is_position_independent
    }

    /// Whether it has the linker's table of symbols, which `-s` leaves out and nothing here needs.
    pub fn has_symbol_table(&self) -> bool {
        self.image.has_symbol_table
    }

    /// A number that is the same for all copies of one build and different for any other: XXH3 of the Go build id if it is
    /// one of cmd/go (not empty or fixed by the build system); of the GNU build id if there is no Go build id; else of the
    /// file's content.
    ///
    /// The last case reads the whole file; keep the number.
    pub fn build_id(&self) -> u64 {
        build_id::build_id(&self.image)
    }

    /// Where the fields of the runtime's structures lie in this program: as its debug information tells it, or the table of its version.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] where neither does, [`Error::Garbled`] where an obfuscator hides the version.
    pub fn layout(&self) -> Result<&RuntimeLayout, Error> {
        self.runtime.as_ref().map(|runtime| &runtime.layout).map_err(Error::clone)
    }

    /// Go's own text for the number of a wait reason in this program, such as `chan receive`. Empty for 0, Go's "no
    /// reason"; None for a number that this version does not have, or that is not known.
    pub fn wait_reason(&self, number: u8) -> Option<&str> {
        self.runtime.as_ref().ok()?.wait_reasons.get(usize::from(number)).copied()
    }

    /// The instructions to probe, verified against the machine code and the function table.
    ///
    /// # Errors
    /// Those of [`layout`](Self::layout), without which a probe would be of no use; [`Error::Garbled`] when the function table or a
    /// runtime function in it is missing (obfuscated names), [`Error::UnknownPrologue`] when its code does not begin in a known way.
    pub fn probe_sites(&self) -> Result<ProbeSites, Error> {
        self.layout()?;
        let code = self.code()?;
        probe_site::probe_sites(&self.image, self.machine, &code.table, code.module)
    }

    /// Whether the program may load plugins: it has package plugin in it.
    pub fn loads_plugins(&self) -> bool {
        // The package's C code is linked to it. To find out of all names that one is not among them is to read them all.
        self.image.has_dynamic_name("dlopen")
            && self.code().is_ok_and(|code| code.table.functions_named("plugin.open").next().is_some())
    }

    /// Where a thread of the program keeps the g it runs. None where the code is of no known shape, and for a program for arm64 without
    /// C code, which keeps it in a register only.
    pub fn thread_local_g(&self) -> Option<ThreadLocalG> {
        let code = self.code().ok()?;
        thread_local::thread_local_g(&self.image, self.machine, &code.table, code.module)
    }

    /// The link-time address of `runtime.allgs`, the slice of pointers to all goroutines, also those that have ended. None where the code
    /// that adds to it is not of the known shape.
    ///
    /// It is what the code says, and nothing else bears it out: check what lies there before believing it.
    pub fn all_goroutines(&self) -> Option<u64> {
        let code = self.code().ok()?;
        all_goroutines::all_goroutines(&self.image, self.machine, &code.table, code.module)
    }

    /// The segment with the Go code, to translate addresses of a running process.
    pub fn text_segment(&self) -> TextSegment {
        self.text_segment
    }

    /// A symbolizer over the same bytes.
    ///
    /// # Errors
    /// [`Error::Garbled`] where the function table is missing, obfuscated or damaged.
    pub fn symbolizer(&self) -> Result<Symbolizer<'data>, Error> {
        let code = self.code()?;
        Ok(Symbolizer::new(&self.image, code.table, code.module, self.minor().unwrap_or(u16::MAX)))
    }

    /// 27 for Go 1.27.
    fn minor(&self) -> Option<u16> {
        self.info.version.release.filter(|release| release.major == 1).map(|release| release.minor)
    }

    fn code(&self) -> Result<Code<'data>, Error> {
        self.code.clone()
    }
}

impl TextSegment {
    /// The link-time address of `address` in a process that maps this file at `map_start` from file offset
    /// `map_file_offset` on (both from the line of `/proc/PID/maps` that holds the address). None outside of this segment.
    pub fn link_vaddr(&self, address: u64, map_start: u64, map_file_offset: u64) -> Option<u64> {
        let file_offset = address.checked_sub(map_start)?.checked_add(map_file_offset)?;
        let within = file_offset.checked_sub(self.file_offset).filter(|&within| within < self.size)?;
        self.vaddr.checked_add(within)
    }
}

fn known_layout(version: &GoVersion) -> Option<&'static RuntimeLayout> {
    let release = version.release.filter(|release| release.major == 1)?;
    layout::layout(release.minor)
}

fn code<'data>(image: &Image<'data>, machine: Machine, layout: Option<&RuntimeLayout>) -> Result<Code<'data>, Error> {
    let (table, module) = moduledata::locate(image, machine, layout)?;
    Ok(Code { table, module })
}

fn runtime<'data>(
    image: &Image<'data>,
    version: &GoVersion,
    layout: Option<RuntimeLayout>,
    is_known: bool,
) -> Result<Runtime<'data>, Error> {
    let minor = version.release.filter(|_| is_known).map(|release| release.minor);
    match layout {
        Some(layout) => Ok(Runtime { layout, wait_reasons: wait_reasons::wait_reasons(image, minor) }),
        None if version.is_hidden() => Err(Error::garbled("the build info hides the Go version, as garble does")),
        None => Err(Error::UnsupportedVersion { version: version.text.clone() }),
    }
}

/// That of the Go code; of a program whose tables cannot be read, that of its code.
fn text_segment(image: &Image<'_>, code: Option<&Code<'_>>) -> Result<TextSegment, Error> {
    let segment = match code {
        Some(code) => image.segment_at(code.module.text).filter(|segment| segment.executable),
        None => image.code_segment(),
    };
    let segment = segment.ok_or_else(|| Error::garbled("the Go code lies in no executable segment"))?;
    let size = u64::try_from(segment.bytes.len()).unwrap_or(u64::MAX);
    Ok(TextSegment { vaddr: segment.vaddr, file_offset: segment.file_offset, size })
}
