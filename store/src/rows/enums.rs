//! The enumerations of the schema. The numbers are those of the `Enum8` columns and never change.

macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $number:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i8)]
        pub enum $name {
            $($(#[$variant_meta])* $variant = $number,)+
        }

        impl From<$name> for i8 {
            fn from(value: $name) -> i8 {
                value as i8
            }
        }
    };
}

wire_enum! {
    /// What kind of waiting an event is.
    EventKind {
        /// A goroutine parked by the Go scheduler.
        Goroutine = 1,
        /// A thread in a blocking system call.
        Syscall = 2,
        /// A thread off the CPU for any other reason.
        OffCpu = 3,
        /// A thread in foreign code called from Go.
        Cgo = 4,
    }
}

wire_enum! {
    /// What an error bound assumes.
    BoundClass {
        /// There is no estimate.
        Unknown = 0,
        /// Only the stated oscillator tolerance and the path's floor.
        Hard = 1,
        /// Also that paths are symmetric.
        Tight = 2,
        /// Also that asymmetry stays within a configured share of the delay.
        Budgeted = 3,
    }
}

wire_enum! {
    /// How far a clock estimate can be trusted.
    ClockStatus {
        /// There is no estimate yet.
        Unknown = 0,
        /// Probes arrive and agree.
        Synchronized = 1,
        /// No recent probe; the bound grows.
        FreeRunning = 2,
        /// The clock was disturbed; nothing before counts.
        Disrupted = 3,
    }
}

wire_enum! {
    /// By which path a probe's stamps were exchanged.
    ProbeKind {
        /// Datagrams.
        Udp = 1,
        /// Messages of a gRPC stream.
        Grpc = 2,
        /// IEEE 1588.
        Ptp = 3,
        /// Stamped by the network card.
        Hardware = 4,
    }
}

wire_enum! {
    /// A clock of a node.
    ClockScale {
        /// CLOCK_MONOTONIC.
        Mono = 1,
        /// CLOCK_MONOTONIC_RAW.
        Raw = 2,
        /// CLOCK_REALTIME.
        Wall = 3,
    }
}

wire_enum! {
    /// How a disruption of a clock showed.
    DisruptionSign {
        /// The hypervisor's marker in VMClock is another one.
        Hypervisor = 1,
        /// A probe contradicted the bounds.
        Probe = 2,
        /// Both ways moved against each other.
        BothWays = 3,
        /// In a way that a later version knows.
        Other = 4,
    }
}

wire_enum! {
    /// Who claims something of a node's wall clock.
    ClaimSource {
        /// adjtimex(2).
        Kernel = 1,
        /// chronyd's tracking report.
        Chrony = 2,
    }
}

wire_enum! {
    /// Whether a claim can be true.
    ClaimVerdict {
        /// There is nothing to hold it against.
        Unknown = 0,
        /// It can.
        Consistent = 1,
        /// It cannot, beside the probes and the aggregator's own claim.
        Contradicted = 2,
    }
}

wire_enum! {
    /// Whether what two regions measure of one another, or one claims of UTC, can be true beside all else.
    PairVerdict {
        /// They do not, or it does not.
        Unknown = 0,
        /// It can be.
        Consistent = 1,
        /// It was left out as the least likely of those that cannot all be true.
        Doubted = 2,
        /// It alone cannot be true.
        False = 3,
    }
}

wire_enum! {
    /// Which way the bytes of a message went.
    MessageDirection {
        /// Sent.
        Send = 1,
        /// Received.
        Receive = 2,
    }
}

wire_enum! {
    /// What became of a goroutine.
    GoroutineFate {
        /// Nothing: it was alive.
        Alive = 0,
        /// Its function returned.
        Finished = 1,
        /// Its process, or its program, ended.
        ProcessEnded = 2,
    }
}

wire_enum! {
    /// What a goroutine does.
    GoroutineState {
        /// It runs.
        Running = 1,
        /// It is ready and does not run.
        Runnable = 2,
        /// It is in a system call.
        Syscall = 3,
        /// It is in C code.
        Cgo = 4,
        /// It is parked.
        Blocked = 5,
    }
}

wire_enum! {
    /// Who opened a TCP connection.
    SessionOpener {
        /// It was there before it could be seen.
        Unknown = 0,
        /// This end.
        Local = 1,
        /// The other end.
        Remote = 2,
    }
}

wire_enum! {
    /// With what a process was observed.
    ObservationStage {
        /// With all that was asked for.
        Full = 1,
        /// With a higher threshold.
        Raised = 2,
        /// Without what is dear.
        Lean = 3,
        /// As lean, and in windows.
        Windows = 4,
        /// Not at all.
        Off = 5,
    }
}

wire_enum! {
    /// Why with that.
    ObservationReason {
        /// Its observation began.
        Began = 1,
        /// It cost more than its budget.
        OverBudget = 2,
        /// Its budget allows for it.
        Affordable = 3,
        /// It was off for long enough.
        Rested = 4,
    }
}

wire_enum! {
    /// What an aggregator says of a batch.
    BatchClaim {
        /// It stores it, or is about to.
        Claimed = 1,
        /// It does not, but may have begun to.
        Withdrawn = 2,
    }
}

wire_enum! {
    /// How far an alert has come.
    AlertState {
        /// Its rule is met, not yet for long enough.
        Pending = 1,
        /// It is so.
        Firing = 2,
        /// It is over, or was not for long enough.
        Resolved = 3,
    }
}

wire_enum! {
    /// How much an alert matters.
    SeverityLevel {
        /// To be known.
        Info = 1,
        /// To be looked at.
        Warning = 2,
        /// To be looked at now.
        Critical = 3,
    }
}

wire_enum! {
    /// What an alert's values are counted in.
    AlertUnit {
        /// Nanoseconds.
        Ns = 1,
        /// Parts per billion.
        Ppb = 2,
    }
}

wire_enum! {
    /// What happened to an incident.
    IncidentKind {
        /// It began.
        Opened = 1,
        /// All of it is over.
        Resolved = 2,
    }
}

wire_enum! {
    /// What came of telling a target.
    DeliveryOutcome {
        /// It took it.
        Delivered = 1,
        /// It never will.
        Refused = 2,
        /// It was over for too long.
        Expired = 3,
    }
}
