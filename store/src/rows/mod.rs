//! The rows of each table, as one vector per column.
//!
//! Units and meanings are those of the columns in `migrations/`. Every struct turns into a [`Block`](crate::Block) with `into_block`, which
//! refuses columns of unequal length.
//!
//! Scales: `mono` is a node's CLOCK_MONOTONIC, `raw` its CLOCK_MONOTONIC_RAW, `wall` its CLOCK_REALTIME, `REF` the reference
//! clock of the node's region. The fleet's one clock is the REF of the root region.

mod alerts;
mod binaries;
mod clock;
mod enums;
mod events;
mod ledger;
mod nodes;
mod observations;
mod processes;
mod regions;
mod stacks;
mod states;
mod tcp;

pub use alerts::{AlertDeliveryRows, AlertLeaseRows, AlertStateRows, SkewAlertRows, SkewIncidentRows};
pub use binaries::BinaryRows;
pub use clock::{
    ClockClaimRows, ClockDisruptionRows, ClockProbeRows, ClockSegmentRows, ClockStateRows, ClockStepRows,
    RegionClockRows,
};
pub use enums::{
    AlertState, AlertUnit, BatchClaim, BoundClass, ClaimSource, ClaimVerdict, ClockScale, ClockStatus, DeliveryOutcome,
    DisruptionSign, EventKind, GoroutineFate, GoroutineState, IncidentKind, MessageDirection, ObservationReason,
    ObservationStage, PairVerdict, ProbeKind, SessionOpener, SeverityLevel,
};
pub use events::{
    EventRows, FLAG_ABANDONED, FLAG_BEGAN_BEFORE, FLAG_READY_SEEN, FLAG_WOKEN_BY_NETPOLL, LossRows, OpenWaitRows,
    ShortWaitRows,
};
pub use ledger::{BatchClaimRows, DroppedBatchRows, LedgerRows};
pub use nodes::NodeRows;
pub use observations::ObservationRows;
pub use processes::ProcessRows;
pub use regions::{RegionClaimRows, RegionLinkRows, RegionPairRows};
pub use stacks::{StackRows, SymbolRows};
pub use states::{GoroutineStateRows, ProcessStateRows};
pub use tcp::{MessageRows, TcpLossRows, TcpSessionRows};

/// The value of an error bound (`err_ns` and its relatives) that says: nothing is known.
pub const UNBOUNDED_NS: u64 = u64::MAX;

use crate::Column;

fn enum8<E: Into<i8>>(values: Vec<E>) -> Column {
    Column::Enum8(values.into_iter().map(Into::into).collect())
}

/// Declares the columns of a table once: the struct, its row count and its block.
macro_rules! rows {
    ($(#[$meta:meta])* $rows:ident => $table:literal { $($(#[$field_meta:meta])* $field:ident: $type:ty => $column:expr),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        pub struct $rows {
            $($(#[$field_meta])* pub $field: $type,)+
        }

        impl $rows {
            /// The table these rows go to.
            pub const TABLE: &str = $table;

            /// Checks that all columns have as many rows and encodes them.
            ///
            /// # Errors
            /// [`StoreError::Block`](crate::StoreError::Block) when lengths differ or there are too many rows for one block.
            pub fn into_block(self) -> Result<$crate::Block, $crate::StoreError> {
                $crate::BlockBuilder::new($table)
                    $(.column(stringify!($field), ($column)(self.$field)))+
                    .build()
            }
        }

        impl TryFrom<$rows> for $crate::Block {
            type Error = $crate::StoreError;

            fn try_from(rows: $rows) -> Result<Self, Self::Error> {
                rows.into_block()
            }
        }
    };
}
use rows;
