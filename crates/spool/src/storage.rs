//! What a spool needs of the place where it lies: a flat directory of files.
//!
//! [`crate::Disk`] is the real one. The tests have another, which loses what was not synced, tears and re-orders it, and fails on demand.

use std::io;

/// What a name ends in while the file is being made.
pub(crate) const WRITING: &str = ".new";

/// A directory that belongs to one spool.
///
/// What is assumed of it, beside the words of each method, is in docs/spool.md.
pub trait Storage: Send + Sync + 'static {
    /// An open file.
    type File: StorageFile;
    /// Holds the directory for this process until it is dropped.
    type Lock: Send + Sync + 'static;

    /// Takes the directory for this process; none when another one has it.
    ///
    /// # Errors
    /// When it cannot be known.
    fn lock(&self) -> io::Result<Option<Self::Lock>>;

    /// Names of all files, in any order. What is not a name of ours may be left out.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A new file, empty. It may be gone after a crash until [`Self::sync_directory`].
    ///
    /// # Errors
    /// When it exists already ([`io::ErrorKind::AlreadyExists`]), or cannot be made.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// An existing file, to read and to write.
    ///
    /// # Errors
    /// When it does not exist ([`io::ErrorKind::NotFound`]), or cannot be opened.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Renames a file, over another one of that name if there is one. It may be undone by a crash until [`Self::sync_directory`], but at
    /// every moment one of the two is there under that name.
    ///
    /// # Errors
    /// When it cannot be renamed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. It may be back after a crash until [`Self::sync_directory`].
    ///
    /// # Errors
    /// When it does not exist ([`io::ErrorKind::NotFound`]), or cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns once everything that was created, renamed and removed before will still be so after a crash.
    ///
    /// # Errors
    /// When that cannot be said.
    fn sync_directory(&self) -> io::Result<()>;

    /// A number that nobody can guess, and that was not there before.
    ///
    /// # Errors
    /// When there is none.
    fn random(&self) -> io::Result<u64>;
}

/// One file; several threads may read and write it at once, at offsets in bytes.
pub trait StorageFile: Send + Sync + 'static {
    /// Reads at an offset; less than asked for only at the end of the file.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of it. Until [`Self::sync_data`] any part of it may be lost in a crash; after an error any part may be there.
    ///
    /// # Errors
    /// When not all of it was written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Takes so many bytes of the disk, if the file system can do that, so that later writes below find room. The file may then be so
    /// long, and read as zeros.
    ///
    /// # Errors
    /// When there is no room ([`io::ErrorKind::StorageFull`]), or it failed.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Cuts the file off, or lengthens it by zeros.
    ///
    /// # Errors
    /// When that failed.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Length of the file, bytes.
    ///
    /// # Errors
    /// When it cannot be known.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is nothing in it.
    ///
    /// # Errors
    /// When it cannot be known.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Returns once everything that was written before, and the length, will be there after a crash. After an error nobody knows what of it
    /// is there, and a second call may succeed without having done anything: only writing again helps.
    ///
    /// # Errors
    /// When it cannot be said that all of it is there.
    fn sync_data(&self) -> io::Result<()>;
}

/// Makes a file with this content, over another one of that name if there is one. It is there as a whole after a crash once this returns, and as a
/// whole or not at all before.
pub(crate) fn make_file<S: Storage>(storage: &S, name: &str, bytes: &[u8]) -> io::Result<S::File> {
    let writing = format!("{name}{WRITING}");
    match storage.remove(&writing) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = storage.create(&writing)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    storage.rename(&writing, name)?;
    storage.sync_directory()?;
    Ok(file)
}
