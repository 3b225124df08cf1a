//! Losses: what was seen and could not be kept, and why.

/// Why events were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LossCause {
    /// The kernel's ring buffer had no room: the agent did not read fast enough.
    RingBufferFull,
    /// The kernel's map of parked goroutines was full when a goroutine parked.
    ParkMapFull,
    /// The kernel's map of short waits was full.
    ShortWaitMapFull,
    /// A goroutine's descriptor could not be read at a probe.
    GoroutineUnreadable,
    /// A goroutine ran again as another one: its descriptor was reused while we were not looking.
    GoroutineReused,
    /// The agent's queue of unacknowledged batches was full.
    QueueFull,
    /// The record from the kernel could not be understood.
    RecordGarbled,
    /// The process ended while the goroutine was parked, or nobody knows any more whose wait it was. A wait that is still in
    /// progress when the agent ends has not finished and is not counted.
    ParkAbandoned,
    /// The aggregator refused the batch for good.
    BatchRefused,
    /// The kernel's map of threads that wait (in a system call, off their CPUs, in C code) was full when one began to.
    ThreadMapFull,
    /// The kernel did not run the program that would have seen it, at most: another one of ours ran on that CPU.
    ProbeMissed,
    /// The disk does not have the batch any more that was durable there until it could be sent; at most.
    SpoolDamaged,
    /// A cause that this version does not know: its agent is newer.
    Unknown,
}

impl LossCause {
    /// Every cause that is known, in the order of their wire numbers.
    pub const ALL: [Self; 12] = [
        Self::RingBufferFull,
        Self::ParkMapFull,
        Self::ShortWaitMapFull,
        Self::GoroutineUnreadable,
        Self::GoroutineReused,
        Self::QueueFull,
        Self::RecordGarbled,
        Self::ParkAbandoned,
        Self::BatchRefused,
        Self::ThreadMapFull,
        Self::ProbeMissed,
        Self::SpoolDamaged,
    ];

    /// The name users see, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingBufferFull => "ring_buffer_full",
            Self::ParkMapFull => "park_map_full",
            Self::ShortWaitMapFull => "short_wait_map_full",
            Self::GoroutineUnreadable => "goroutine_unreadable",
            Self::GoroutineReused => "goroutine_reused",
            Self::QueueFull => "queue_full",
            Self::RecordGarbled => "record_garbled",
            Self::ParkAbandoned => "park_abandoned",
            Self::BatchRefused => "batch_refused",
            Self::ThreadMapFull => "thread_map_full",
            Self::ProbeMissed => "probe_missed",
            Self::SpoolDamaged => "spool_damaged",
            Self::Unknown => "unknown",
        }
    }
}

/// How many events were lost to one cause since the last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub cause: LossCause,
    /// How many.
    pub count: u64,
}
