//! A crash-safe log of opaque records, between who makes them and who sends or stores them.
//!
//! What it promises, on storage that does what docs/spool.md assumes of it:
//!
//! - A record is there after a crash once [`Spool::commit`] has returned, until every cursor is behind it, or it is told as dropped.
//! - A record that a reader was given is durable.
//! - What a reader is given has no gap: each loss is an item ([`Content::Dropped`], [`Content::Damaged`]) with the exact number of records and
//!   their weight, and it is told until it is acknowledged and saved as a record is.
//! - After a failed write or sync nothing is counted on that was in it: the records are written again, into another segment.
//! - Damage costs the records that it hit. Opening needs nobody.
//! - It takes no more of the disk than it may, but for 16 KiB a cursor.
//!
//! ```text
//! append ─► memory ─ commit: write, fdatasync ─► segment ─► segment ─► ... ─► next ─► Record | Dropped | Damaged
//!                                                   ▲                                    │
//!                                 removed when all cursors are behind it  ◄── save ◄── acknowledge
//! ```
//!
//! Weights are the caller's: events in a batch, for one. All of them are summed in every frame, so that a loss is known by what is left around it.
//!
//! ```
//! use syncline_spool::{Config, Content, Disk, RecordNo, Spool};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let (mut spool, recovery) = Spool::open(Disk::open(directory.path())?, Config::default())?;
//! assert!(recovery.is_undamaged());
//! let mut reader = spool.reader("uplink")?;
//! spool.append(b"a batch", 1000)?;
//! assert_eq!(spool.commit()?, RecordNo(1));
//! while let Some(item) = reader.next()? {
//!     match &item.content {
//!         Content::Record(batch) => assert_eq!(batch, b"a batch"),
//!         Content::Dropped | Content::Damaged { .. } => eprintln!("{} events are lost", item.weight),
//!     }
//!     reader.acknowledge(item.first);
//! }
//! reader.save(b"")?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Spool`] and [`Reader`] only compute and call [`Storage`]; there is no clock in what they do (but for [`Reader::wait`]).

mod bytes;
mod config;
mod cursor;
mod disk;
mod error;
mod frame;
mod group;
mod identity;
mod item;
mod lineage;
mod pending;
mod reader;
mod recovery;
mod scan;
mod segment;
mod shared;
mod spool;
mod storage;
mod tail;

pub use config::{Config, Overflow};
pub use cursor::NOTE_LIMIT;
pub use disk::{Disk, DiskFile, DiskLock};
pub use error::{Error, Result};
pub use group::{Appender, Done, GroupCommit, NotDurable, Reason, Refused, Trouble};
pub use item::{Content, Item, RecordNo};
pub use reader::Reader;
pub use recovery::Recovery;
pub use spool::{Spool, Status};
pub use storage::{Storage, StorageFile};
