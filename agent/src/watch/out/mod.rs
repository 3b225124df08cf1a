//! Files that a watch writes: every wait as it comes, or a profile or a flame graph at the end.

mod event;

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use syncline_insight::{Caption, Contention, Recorded, StackSum, flame_svg, pprof_gz};
use tempfile::NamedTempFile;

use super::WatchError;
use crate::regular_file;
pub(super) use event::Event;

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub kind: OutKind,
}

/// What is written, by the end of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutKind {
    /// `.pb.gz`: a profile for `go tool pprof`.
    Pprof,
    /// `.svg`: a flame graph.
    Svg,
    /// `.jsonl`: one JSON object for each wait.
    Events,
}

/// A file that is being written.
pub(super) struct OpenOut {
    path: PathBuf,
    writer: Writer,
}

enum Writer {
    Events(BufWriter<File>),
    /// Beside its place until it is whole.
    AtEnd(OutKind, NamedTempFile),
}

impl FromStr for Out {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const ENDS: [(&str, OutKind); 3] =
            [(".pb.gz", OutKind::Pprof), (".svg", OutKind::Svg), (".jsonl", OutKind::Events)];
        let kind = ENDS.iter().find(|(end, _)| text.ends_with(end)).map(|(_, kind)| *kind);
        let kind = kind.ok_or_else(|| {
            "the file's name must end in .pb.gz (profile for go tool pprof), .svg (flame graph) or .jsonl (every wait)"
                .to_owned()
        })?;
        Ok(Self { path: text.into(), kind })
    }
}

impl Out {
    pub(super) fn open(&self) -> Result<OpenOut, WatchError> {
        let failed = |cause| WatchError::Out { path: self.path.clone(), cause };
        let writer = match self.kind {
            OutKind::Events => Writer::Events(BufWriter::new(regular_file::create(&self.path).map_err(failed)?)),
            kind => Writer::AtEnd(kind, beside(&self.path).map_err(failed)?),
        };
        Ok(OpenOut { path: self.path.clone(), writer })
    }
}

impl OpenOut {
    pub(super) fn take(&mut self, event: &Event<'_>) -> Result<(), WatchError> {
        let Writer::Events(file) = &mut self.writer else { return Ok(()) };
        event.write(file).map_err(|cause| WatchError::Out { path: self.path.clone(), cause })
    }

    pub(super) fn flush(&mut self) -> Result<(), WatchError> {
        let Writer::Events(file) = &mut self.writer else { return Ok(()) };
        file.flush().map_err(|cause| WatchError::Out { path: self.path.clone(), cause })
    }

    pub(super) fn finish(self, stacks: &[&StackSum], recorded: &Recorded, caption: &Caption) -> Result<(), WatchError> {
        let outcome = match self.writer {
            Writer::Events(mut file) => file.flush(),
            Writer::AtEnd(OutKind::Svg, file) => put(file, flame_svg(stacks, caption).as_bytes(), &self.path),
            Writer::AtEnd(_, file) => pprof_gz(stacks.iter().map(|sum| Contention::of(sum)), recorded)
                .and_then(|bytes| put(file, &bytes, &self.path)),
        };
        outcome.map_err(|cause| WatchError::Out { path: self.path, cause })
    }
}

/// A file of no name that anybody looks for, in the same directory.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // As other new files, not for the owner alone.
    tempfile::Builder::new().prefix(".syncline-").permissions(Permissions::from_mode(0o666)).tempfile_in(directory)
}

fn put(mut file: NamedTempFile, bytes: &[u8], path: &Path) -> io::Result<()> {
    file.write_all(bytes)?;
    file.persist(path).map(drop).map_err(|failed| failed.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_name_tells_what_to_write() {
        let kind = |text: &str| text.parse::<Out>().map(|out| out.kind);
        assert_eq!(kind("a/block.pb.gz"), Ok(OutKind::Pprof));
        assert_eq!(kind("block.svg"), Ok(OutKind::Svg));
        assert_eq!(kind("events.jsonl"), Ok(OutKind::Events));
        for text in ["block.txt", "block.gz", "events.json", "block"] {
            let error = kind(text).unwrap_err();
            assert!([".pb.gz", ".svg", ".jsonl"].iter().all(|end| error.contains(end)), "{error}");
        }
    }

    #[test]
    fn a_file_is_there_when_it_is_whole_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("block.svg");
        let out = Out { path: path.clone(), kind: OutKind::Svg };
        std::fs::write(&path, "former").unwrap();
        let open = out.open().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "former");
        open.finish(&[], &Recorded::default(), &Caption::default()).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("<?xml"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        drop(out.open().unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "an unfinished one is cleared away");
    }
}
