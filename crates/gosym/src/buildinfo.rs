//! The build info that the Go linker leaves in every program, stripped or not: toolchain version and module list.
//!
//! Format (debug/buildinfo of the standard library): 16 bytes of which 14 are the magic, then the pointer size and flags;
//! from 1.18 on the version and the module text follow at byte 32, each with its length as a varint in front.

use crate::bytes::uvarint;
use crate::elf::{BUILD_INFO_MAGIC, BUILD_INFO_SECTION, Image};
use crate::error::Error;

const HEADER_SIZE: usize = 32;
const ALIGNMENT: u64 = 16;
const FLAG_INLINE_TEXT: u8 = 2;
/// cmd/go puts 16 marker bytes before and after the module text.
const MODULE_TEXT_FRAME: usize = 16;

/// The version of the Go toolchain that built a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoVersion {
    /// The version as it stands in the binary, experiments included: `go1.27.3 X:rangefunc`. `unknown` where an obfuscator hides it.
    pub text: String,
    /// The release that it names; None for development snapshots, whose structures are those of no release, and for what is hidden or
    /// older than Go 1.18.
    pub release: Option<Release>,
}

/// The numbers of a Go release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// 1 in `go1.27.3`.
    pub major: u16,
    /// 27 in `go1.27.3`.
    pub minor: u16,
    /// 3 in `go1.27.3`; 0 when absent, as in `go1.27rc1`.
    pub patch: u16,
}

/// What an obfuscator puts in the place of the version.
const HIDDEN: &str = "unknown";
/// Longer than any version that is told.
const MAX_VERSION: usize = 100;

impl GoVersion {
    /// Reads `go1.27.3`, with anything a vendor or an experiment has added behind it.
    fn parse(text: &str) -> GoVersion {
        // It is told in lines of text, also by others.
        let printable = |character: char| if character.is_control() { '?' } else { character };
        GoVersion { text: text.chars().take(MAX_VERSION).map(printable).collect(), release: Release::parse(text) }
    }

    /// Whether an obfuscator hides it.
    pub(crate) fn is_hidden(&self) -> bool {
        self.text == HIDDEN
    }
}

impl Release {
    fn parse(text: &str) -> Option<Release> {
        let (major, rest) = number(text.strip_prefix("go")?)?;
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        let patch = rest.strip_prefix('.').and_then(number).map_or(0, |(patch, _)| patch);
        Some(Release { major, minor, patch })
    }
}

impl std::fmt::Display for GoVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Version and module text of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuildInfo<'data> {
    pub(crate) version: GoVersion,
    modules: &'data str,
}

impl<'data> BuildInfo<'data> {
    /// Finds and reads the build info.
    pub(crate) fn parse(image: &Image<'data>) -> Result<BuildInfo<'data>, Error> {
        let blob = find(image).ok_or_else(|| Error::not_go("it has no Go build info"))?;
        if blob.get(BUILD_INFO_MAGIC.len() + 1).is_none_or(|flags| flags & FLAG_INLINE_TEXT == 0) {
            let version = GoVersion { text: "older than go1.18".to_owned(), release: None };
            return Ok(BuildInfo { version, modules: "" });
        }
        let truncated = || Error::truncated("the Go build info ends too early");
        let (version, rest) = blob.get(HEADER_SIZE..).and_then(prefixed_text).ok_or_else(truncated)?;
        let (modules, _) = prefixed_text(rest).ok_or_else(truncated)?;
        Ok(BuildInfo { version: GoVersion::parse(&String::from_utf8_lossy(version)), modules: unframe(modules) })
    }

    /// The import path of the main package, or the main module's path when that is all there is.
    pub(crate) fn module_path(&self) -> Option<&'data str> {
        self.line_value("path\t").or_else(|| self.line_value("mod\t"))
    }

    /// Settings of the build, such as `CGO_ENABLED` and `-trimpath`, with their values.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&'data str, &'data str)> {
        self.modules.lines().filter_map(|line| line.strip_prefix("build\t")?.split_once('='))
    }

    fn line_value(&self, key: &str) -> Option<&'data str> {
        let value = self.modules.lines().find_map(|line| line.strip_prefix(key))?;
        value.split('\t').next().filter(|value| !value.is_empty())
    }
}

/// From the magic to the end of the section, or of the writable segment when the file has no sections.
fn find<'data>(image: &Image<'data>) -> Option<&'data [u8]> {
    let writable = image.segments().iter().filter(|segment| segment.writable);
    let segments = writable.map(|segment| (segment.vaddr, segment.bytes));
    image.section(BUILD_INFO_SECTION).into_iter().chain(segments).find_map(|(vaddr, bytes)| find_magic(vaddr, bytes))
}

/// The magic stands at a multiple of 16 in memory.
fn find_magic(vaddr: u64, bytes: &[u8]) -> Option<&[u8]> {
    let start = usize::try_from(vaddr.wrapping_neg() % ALIGNMENT).ok()?;
    let places = (start..bytes.len()).step_by(usize::try_from(ALIGNMENT).ok()?);
    places.filter_map(|place| bytes.get(place..)).find(|rest| rest.starts_with(BUILD_INFO_MAGIC))
}

fn prefixed_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = uvarint(bytes, 10)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// The module text without its frame; empty when the program was built without modules.
fn unframe(text: &[u8]) -> &str {
    let inner = text.len().checked_sub(MODULE_TEXT_FRAME).and_then(|end| text.get(MODULE_TEXT_FRAME..end));
    inner.and_then(|inner| std::str::from_utf8(inner).ok()).unwrap_or_default()
}

fn number(text: &str) -> Option<(u16, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Option<(u16, u16, u16)> {
        GoVersion::parse(text).release.map(|release| (release.major, release.minor, release.patch))
    }

    #[test]
    fn versions_in_use_are_read() {
        assert_eq!(numbers("go1.27.3"), Some((1, 27, 3)));
        assert_eq!(numbers("go1.21"), Some((1, 21, 0)));
        assert_eq!(numbers("go1.27rc1"), Some((1, 27, 0)));
        assert_eq!(numbers("go1.24.11 X:boringcrypto"), Some((1, 24, 11)));
        assert_eq!(numbers("go1.22.5-vendor"), Some((1, 22, 5)));
        assert_eq!(numbers("go1.22.5 (Red Hat 1.22.5-1.el9)"), Some((1, 22, 5)));
    }

    #[test]
    fn odd_versions_name_no_release() {
        for text in ["", "go", "go1", "1.27.3", "go1.x", "go1.99999999", "devel go1.28-1234abcd Mon", "unknown"] {
            assert_eq!(GoVersion::parse(text), GoVersion { text: text.to_owned(), release: None });
        }
        assert!(GoVersion::parse("unknown").is_hidden());
        assert_eq!(GoVersion::parse(&"x".repeat(1000)).text.len(), MAX_VERSION);
        assert_eq!(GoVersion::parse("go9\nWARN all is well\x1b[2J").text, "go9?WARN all is well?[2J");
    }

    #[test]
    fn settings_are_read_as_they_stand() {
        let modules = "path\ta.example/b\nbuild\t-compiler=gc\nbuild\t-ldflags=\"-s -w -X a=b\"\nbuild\tnothing\n";
        let info = BuildInfo { version: GoVersion::parse("go1.27.3"), modules };
        let settings: Vec<_> = info.settings().collect();
        assert_eq!(settings, [("-compiler", "gc"), ("-ldflags", "\"-s -w -X a=b\"")]);
    }

    #[test]
    fn main_package_goes_before_main_module() {
        let info = |modules| BuildInfo { version: GoVersion::parse("go1.27.3"), modules };
        assert_eq!(info("path\ta.example/b/cmd\nmod\ta.example/b\t(devel)\t\n").module_path(), Some("a.example/b/cmd"));
        assert_eq!(info("mod\ta.example/b\tv1.0.0\th1:x\n").module_path(), Some("a.example/b"));
        assert_eq!(info("").module_path(), None);
    }
}
