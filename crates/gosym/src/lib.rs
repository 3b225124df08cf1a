//! Pure reader of Go binaries: build info, probe sites, struct offsets, symbols.
//!
//! Input is the bytes of an ELF file, wherever they come from; nothing here opens files. The file comes from outside, so
//! every read is checked: a damaged or hostile file gives an [`Error`] or an "unknown", in bounded time and memory, and
//! never a panic.
//!
//! Everything works on stripped and position-independent programs of Go 1.21 to 1.27 on amd64, because it rests on what
//! the Go runtime itself needs at run time: the function table, the module data and the build info.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bytes = std::fs::read("program")?;
//! let binary = syncline_gosym::GoBinary::parse(&bytes)?;
//! let park = binary.probe_sites()?.gopark;
//! for frame in binary.symbolizer().frames(park.vaddr) {
//!     println!("{} at {}:{}", frame.function, frame.file, frame.line);
//! }
//! # Ok(())
//! # }
//! ```

mod all_goroutines;
mod build_id;
mod buildinfo;
mod bytes;
mod decoded;
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

pub use buildinfo::GoVersion;
pub use error::Error;
pub use frame_cache::FrameCache;
pub use layout::{LabelsForm, RuntimeLayout};
pub use probe_site::{CallbackSites, CgoSites, EXPECTED_LENGTH, ProbeSite, ProbeSites};
pub use state_sites::StateSites;
pub use symbolizer::{Frame, FunctionRef, Symbolizer};

use buildinfo::BuildInfo;
use elf::Image;
use moduledata::ModuleData;
use pclntab::Pclntab;

/// `e_machine` of x86-64.
const MACHINE_X86_64: u16 = object::elf::EM_X86_64.0;
/// The smallest page size of the supported processors.
const PAGE_SIZE: u64 = 4096;

/// A parsed Go binary. Borrows the file's bytes.
#[derive(Debug, Clone)]
pub struct GoBinary<'data> {
    image: Image<'data>,
    info: BuildInfo<'data>,
    layout: &'static RuntimeLayout,
    table: Pclntab<'data>,
    module: ModuleData,
    text_segment: TextSegment,
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
    /// Parses an executable.
    ///
    /// # Errors
    /// [`Error::NotElf`], [`Error::NotGo`], [`Error::UnsupportedMachine`], [`Error::UnsupportedVersion`] for files that are
    /// something else; [`Error::Truncated`] and [`Error::Garbled`] for files that are damaged or obfuscated.
    pub fn parse(data: &'data [u8]) -> Result<GoBinary<'data>, Error> {
        let image = Image::parse(data)?;
        let info = BuildInfo::parse(&image)?;
        if image.machine != MACHINE_X86_64 {
            return Err(Error::UnsupportedMachine { machine: image.machine });
        }
        let layout = layout_of(&info.version)?;
        let (table, module) = moduledata::locate(&image, layout)?;
        let text_segment = text_segment(&image, module)?;
        Ok(GoBinary { image, info, layout, table, module, text_segment })
    }

    /// The Go version that built the program.
    pub fn version(&self) -> &GoVersion {
        &self.info.version
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

    /// Where the fields of the runtime's structures lie in this program.
    pub fn layout(&self) -> &'static RuntimeLayout {
        self.layout
    }

    /// Go's own text for the number of a wait reason in this program, such as `chan receive`. Empty for 0, Go's "no
    /// reason"; None for a number that this version does not have.
    pub fn wait_reason(&self, number: u8) -> Option<&'static str> {
        wait_reasons::wait_reason(self.info.version.minor, number)
    }

    /// The instructions to probe, verified against the machine code and the function table.
    ///
    /// # Errors
    /// [`Error::Garbled`] when a runtime function is missing (obfuscated names), [`Error::UnknownPrologue`] when its code
    /// does not begin in a known way.
    pub fn probe_sites(&self) -> Result<ProbeSites, Error> {
        probe_site::probe_sites(&self.image, &self.table, self.module)
    }

    /// Where a thread of the program keeps the g it runs, as an offset from its FS base; None where the code says that only to the dynamic
    /// linker.
    pub fn thread_local_g(&self) -> Option<i32> {
        thread_local::thread_local_g(&self.image, &self.table, self.module)
    }

    /// The link-time address of `runtime.allgs`, the slice of pointers to all goroutines, also those that have ended. None where the code
    /// that adds to it is not of the known shape.
    ///
    /// It is what the code says, and nothing else bears it out: check what lies there before believing it.
    pub fn all_goroutines(&self) -> Option<u64> {
        all_goroutines::all_goroutines(&self.image, &self.table, self.module)
    }

    /// The link-time address of the page with which the executable segment starts: the start of the executable mapping of
    /// this file in `/proc/PID/maps` minus this is the load bias of the process (0 unless position-independent).
    pub fn load_bias_base(&self) -> u64 {
        self.text_segment.vaddr & !(PAGE_SIZE - 1)
    }

    /// The segment with the Go code, to translate addresses of a running process.
    pub fn text_segment(&self) -> TextSegment {
        self.text_segment
    }

    /// A symbolizer over the same bytes.
    pub fn symbolizer(&self) -> Symbolizer<'data> {
        Symbolizer::new(&self.image, self.table, self.module, self.info.version.minor)
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

fn layout_of(version: &GoVersion) -> Result<&'static RuntimeLayout, Error> {
    let layout = (version.major == 1).then(|| layout::layout(version.minor)).flatten();
    layout.ok_or_else(|| Error::UnsupportedVersion { version: version.text.clone() })
}

fn text_segment(image: &Image<'_>, module: ModuleData) -> Result<TextSegment, Error> {
    let segment = image.segment_at(module.text).filter(|segment| segment.executable);
    let segment = segment.ok_or_else(|| Error::garbled("the Go code lies in no executable segment"))?;
    let size = u64::try_from(segment.bytes.len()).unwrap_or(u64::MAX);
    Ok(TextSegment { vaddr: segment.vaddr, file_offset: segment.file_offset, size })
}
