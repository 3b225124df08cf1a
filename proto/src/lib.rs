//! The wire: protobuf messages and gRPC services, and the only place where raw messages become checked types
//! ([`syncline_event::Batch`]) and back.

mod account;
mod codec;
mod columns;
mod decode;
mod encode;
mod error;
mod known;
mod observation;
mod prescan;
mod states;
mod tcp;

pub use codec::{decode, decode_sized, encode};
pub use error::WireError;

/// Generated messages and services. Raw: nothing in here has been checked.
#[allow(missing_docs, unreachable_pub, clippy::all, unused_qualifications, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("syncline.v1");
}
