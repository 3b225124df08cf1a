//! Programs on places of user code that the kernel attaches by a link of its own kind (`BPF_TRACE_UPROBE_MULTI`, Linux 6.6).
//!
//! Uprobes that are perf events go one after the other, however many threads close them: each holds the kernel's `event_mutex` while it waits for all
//! CPUs (`perf_uprobe_destroy` in kernel/trace/trace_event_perf.c), and the breakpoints of the others stay until it is their turn: half a second for
//! eight of them, in which the program runs into all that are left. A link of this kind takes its breakpoints away at once and waits by itself
//! (`bpf_uprobe_multi_link_release` in kernel/trace/bpf_trace.c). aya neither loads nor attaches such programs yet, so that is done here, with its reader of
//! objects and the maps that it has made.
#![allow(unsafe_code)] // bpf(2)

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya::maps::{Map, MapData};
use aya::{Btf, Ebpf};
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_type};
use aya_obj::{Function, Object, Program};

use super::error::KernelError;
use super::kernel::unless_interrupted;

/// Programs that were loaded for such links, by name.
pub(super) struct MultiPrograms {
    programs: HashMap<&'static str, OwnedFd>,
}

impl MultiPrograms {
    /// Loads these of the object's programs, on the maps that aya has made of it.
    pub(super) fn load(object: &[u8], ebpf: &Ebpf, names: &[&'static str]) -> Result<Self, KernelError> {
        let relocated = relocated(object, ebpf).map_err(|why| KernelError::new("read the BPF object", Other(why)))?;
        let mut programs = HashMap::new();
        for name in names {
            let failed = |error: io::Error| KernelError::new(format!("load {name} for links of many places"), error);
            let program = relocated.programs.get(*name);
            let function = program.and_then(|program| relocated.functions.get(&program.function_key()));
            let (program, function) =
                program.zip(function).ok_or_else(|| failed(io::Error::from(io::ErrorKind::NotFound)))?;
            let loaded = unless_interrupted(|| load_program(name, program, function)).map_err(failed)?;
            programs.insert(*name, loaded);
        }
        Ok(Self { programs })
    }

    pub(super) fn fd(&self, name: &str) -> Option<BorrowedFd<'_>> {
        self.programs.get(name).map(OwnedFd::as_fd)
    }

    /// Attaches one to an instruction of an executable, for all processes that run it. It is detached when the link is closed, which needs some 100 ms; its
    /// breakpoint goes before that.
    pub(super) fn attach(&self, name: &str, path: &Path, file_offset: u64, cookie: u32) -> io::Result<OwnedFd> {
        let program = self.fd(name).ok_or(io::ErrorKind::NotFound)?;
        let path = CString::new(path.as_os_str().as_bytes())?;
        let (offsets, cookies) = ([file_offset], [u64::from(cookie)]);
        let mut attr = no_attr();
        // SAFETY: these are the fields of BPF_LINK_CREATE for this attach type, all plain numbers. What the three addresses point to lives until the
        // call is over, and has one element each, as `cnt` says; a string ends with its NUL.
        unsafe {
            let link = &mut attr.link_create;
            link.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
            link.attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
            link.__bindgen_anon_3.uprobe_multi.path = path.as_ptr() as u64;
            link.__bindgen_anon_3.uprobe_multi.offsets = offsets.as_ptr() as u64;
            link.__bindgen_anon_3.uprobe_multi.cookies = cookies.as_ptr() as u64;
            link.__bindgen_anon_3.uprobe_multi.cnt = 1;
            bpf(bpf_cmd::BPF_LINK_CREATE, &attr)
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Other(String);

/// The object's programs with the addresses of the maps and of the kernel's structs in them, as `EbpfLoader::load` does it. What older kernels lack
/// needs no regard: they do not have these links either.
fn relocated(object: &[u8], ebpf: &Ebpf) -> Result<Object, String> {
    let mut object = Object::parse(object).map_err(|error| error.to_string())?;
    if let Ok(kernel) = Btf::from_sys_fs() {
        object.relocate_btf(&kernel).map_err(|error| error.to_string())?;
    }
    let described = std::mem::take(&mut object.maps);
    // What is of no kind that is known here no program of ours for user code has: else its relocation fails.
    let maps = ebpf.maps().filter_map(|(name, map)| {
        let fd = data_of(map)?.fd().as_fd().as_raw_fd();
        Some((name, fd, described.get(name)?))
    });
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(maps, &sections).map_err(|error| error.to_string())?;
    object.relocate_calls(&sections).map_err(|error| error.to_string())?;
    Ok(object)
}

fn data_of(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data)
        | Map::PerCpuLruHashMap(data)
        | Map::RingBuf(data)
        | Map::SkStorage(data)
        | Map::StackTraceMap(data) => Some(data),
        _ => None,
    }
}

fn load_program(name: &str, program: &Program, function: &Function) -> io::Result<OwnedFd> {
    let mut attr = no_attr();
    // SAFETY: these are the fields of BPF_PROG_LOAD, all plain numbers. Instructions and licence live as long as what they are borrowed from, the first
    // has as many elements as is said, and the second ends with its NUL.
    unsafe {
        let load = &mut attr.__bindgen_anon_3;
        load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
        load.expected_attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
        load.insns = function.instructions.as_ptr() as u64;
        load.insn_cnt = u32::try_from(function.instructions.len()).map_err(io::Error::other)?;
        load.license = program.license.as_ptr() as u64;
        // For whoever looks at what is loaded; it ends with a NUL, and is cut short for that.
        let room = load.prog_name.len() - 1;
        for (place, byte) in load.prog_name[..room].iter_mut().zip(name.bytes()) {
            *place = byte.cast_signed();
        }
        bpf(bpf_cmd::BPF_PROG_LOAD, &attr)
    }
}

fn no_attr() -> bpf_attr {
    // SAFETY: a union of structs of numbers, of which all bits zero are values, and which the kernel takes for "not said".
    unsafe { std::mem::zeroed() }
}

/// The commands that give a file.
///
/// # Safety
/// What the attributes point to must be as the command expects it, until it is over.
unsafe fn bpf(command: bpf_cmd, attr: &bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for the attributes, and they are as long as is said.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_int, std::ptr::from_ref(attr), size_of::<bpf_attr>())
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given it to us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
