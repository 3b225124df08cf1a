//! Symbols of programs: looked up once in their files, and kept on disk from then on.
//!
//! ```text
//! binary  looks up in the program's file what the cache does not have
//! cache   what was looked up, of all builds; written to disk now and then
//! file    one file for each build: what it holds, and whether it is whole
//! folder  the directory: writing whole files, and its bound
//! ```

mod binary;
mod cache;
mod file;
mod folder;

pub(crate) use binary::{CachedNames, NamesOf};
pub use cache::{SymbolCache, SymbolCounts};
