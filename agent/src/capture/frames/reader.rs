//! Reading parts of a file that somebody else has written: so many bytes and no more, whatever its headers say, and through its handle
//! only. Not mapped: a library may be cut short in place, and whoever has it mapped then dies of that.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

use object::ReadCache;
use object::read::ReadCacheOps;

/// A file, and what may still be read of it.
#[derive(Debug)]
pub(in crate::capture) struct Bounded {
    file: File,
    at: u64,
    left: u64,
}

impl Bounded {
    /// Of an open file, through a handle of its own; not more than `most` bytes.
    ///
    /// # Errors
    /// If there is no further handle to be had.
    pub(in crate::capture) fn of(file: &File, most: u64) -> io::Result<ReadCache<Self>> {
        let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        Ok(ReadCache::new(Self { file, at: 0, left: most }))
    }

    fn take(&mut self, bytes: usize) -> Result<(), ()> {
        self.left = self.left.checked_sub(bytes as u64).ok_or(())?;
        self.at = self.at.checked_add(bytes as u64).ok_or(())?;
        Ok(())
    }
}

impl ReadCacheOps for Bounded {
    fn len(&mut self) -> Result<u64, ()> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(|_| ())
    }

    fn seek(&mut self, pos: u64) -> Result<u64, ()> {
        self.at = pos;
        Ok(pos)
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ()> {
        let read = self.file.read_at(buf, self.at).map_err(|_| ())?;
        self.take(read)?;
        Ok(read)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), ()> {
        let at = self.at;
        self.take(buf.len())?;
        self.file.read_exact_at(buf, at).map_err(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use object::ReadRef as _;

    use super::*;

    #[test]
    fn not_more_is_read_than_may_be() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &[7; 100]).unwrap();
        let reader = Bounded::of(&file, 60).unwrap();
        assert_eq!((&reader).read_bytes_at(10, 50), Ok(&[7; 50][..]));
        assert_eq!((&reader).read_bytes_at(10, 50), Ok(&[7; 50][..]), "it is there already");
        assert_eq!((&reader).read_bytes_at(0, 11), Err(()));
        assert_eq!((&reader).read_bytes_at(0, 10), Ok(&[7; 10][..]));
        assert_eq!((&reader).read_bytes_at(99, 2), Err(()), "the file ends");
    }
}
