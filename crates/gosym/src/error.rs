//! What can be wrong with a file: one cause per variant, each told in one line with the way to mend it.

use crate::layout::SUPPORTED_MINORS;

/// Why a file cannot be read as a Go binary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no 64-bit little-endian ELF file.
    #[error("not an ELF file that can run here ({what}): give the path of a 64-bit little-endian Linux executable")]
    NotElf {
        /// What was found instead.
        what: String,
    },
    /// An ELF file without a mark of Go.
    #[error("not a Go binary ({what}): only programs built by the Go toolchain can be read")]
    NotGo {
        /// The mark that is missing.
        what: String,
    },
    /// A Go binary of a version whose structures are not known, and without debug information that tells them.
    #[error(
        "built with Go version `{version}`, whose runtime is not known (known: go1.{} to go1.{}) and not told by debug \
         information: build the program with one of these or without -s and -w, or use a newer Syncline",
        SUPPORTED_MINORS.0,
        SUPPORTED_MINORS.1
    )]
    UnsupportedVersion {
        /// The version as the binary's build info tells it.
        version: String,
    },
    /// A Go binary for another processor.
    #[error(
        "built for machine type {machine} (ELF e_machine), but only x86-64 (62) and arm64 (183) are supported: build with \
         GOARCH=amd64 or arm64"
    )]
    UnsupportedMachine {
        /// `e_machine` of the ELF header.
        machine: u16,
    },
    /// The file ends before, or points beyond, what its headers announce.
    #[error("the file is truncated or damaged ({what}): copy or build it again")]
    Truncated {
        /// The part that is missing.
        what: String,
    },
    /// The Go tables are there but do not hold together, as after garble or another obfuscator.
    #[error(
        "the Go tables are obfuscated or damaged ({what}): build without garble or packers to see goroutines and symbols"
    )]
    Garbled {
        /// What does not fit.
        what: String,
    },
    /// The machine code of a function that must be probed starts in a way that is not known.
    #[error(
        "cannot place a probe in {function} at {address:#x}: {what} (first bytes {bytes}); report these bytes with the Go version"
    )]
    UnknownPrologue {
        /// The function.
        function: &'static str,
        /// Its link-time address.
        address: u64,
        /// What did not fit.
        what: &'static str,
        /// The first bytes of the function, in hexadecimal.
        bytes: String,
    },
}

impl Error {
    pub(crate) fn not_elf(what: impl Into<String>) -> Error {
        Error::NotElf { what: what.into() }
    }

    pub(crate) fn not_go(what: impl Into<String>) -> Error {
        Error::NotGo { what: what.into() }
    }

    pub(crate) fn truncated(what: impl Into<String>) -> Error {
        Error::Truncated { what: what.into() }
    }

    pub(crate) fn garbled(what: impl Into<String>) -> Error {
        Error::Garbled { what: what.into() }
    }
}
