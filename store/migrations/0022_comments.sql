-- What DESCRIBE teaches: docs/schema.md is made of it.
ALTER TABLE events
    COMMENT COLUMN IF EXISTS bucket 'start of the minute of its begin, stamped once; s since 1970',
    COMMENT COLUMN IF EXISTS kind 'what waited: goroutine (parked by Go''s scheduler), syscall (its thread in a system call), cgo (in C code), off_cpu (its thread without a CPU outside of system calls)',
    COMMENT COLUMN IF EXISTS reason 'Go''s text of the wait reason, such as "chan receive"; the system call''s name, such as "read"; "cgo call"; off a CPU "preempted", "uninterruptible" (a page, a lock of the kernel''s), "interruptible" (a system call that is not captured), "stopped"',
    COMMENT COLUMN IF EXISTS flags 'bit 0 (1): the ready was seen; bit 1 (2): woken by the network poller; bit 2 (4): the stack was cut; bit 3 (8): a frame of it could not be read; bit 4 (16): the thread ran no goroutine (Go''s scheduler itself, or a thread of C code); bit 5 (32): whether it ran one is not known; bit 7 (128): it was found going on when the observation, or a window of it, began, and is longer: no count of waits has it',
    COMMENT COLUMN IF EXISTS fd_type 'what the descriptor stood for, by the kernel''s own inode and socket: tcp, udp, unix, pipe, file, epoll, eventfd, ...; empty = not known',
    COMMENT COLUMN IF EXISTS weight_milli 'how many such waits it stands for, in thousandths: 1000, but more where its process was observed in windows (docs/governor.md)',
    COMMENT COLUMN IF EXISTS weight 'how many such waits it stands for: sum(weight) counts waits (those without bit 7 of flags), sum(dur_ns * weight) their time';

ALTER TABLE observations
    COMMENT COLUMN IF EXISTS stage 'with all that was asked for, with a higher threshold, without what is dear, as lean and in windows, or with TCP sessions alone (docs/governor.md)';

ALTER TABLE processes
    COMMENT COLUMN IF EXISTS since_mono_ns 'since when it runs this program: its exec where the agent saw it, else its start to a clock tick (10 ms); mono, ns; 0 = not known';

ALTER TABLE clock_segments_log
    COMMENT COLUMN IF EXISTS ref_run 'run of the reference that the offsets lead to';

ALTER TABLE clock_segments
    COMMENT COLUMN IF EXISTS ref_run 'run of the reference that the offsets lead to';

ALTER TABLE clock_now
    COMMENT COLUMN IF EXISTS ref_run 'run of the reference that the offsets lead to';

ALTER TABLE clock_states
    COMMENT COLUMN IF EXISTS batch 'newest batch that the model has seen; the highest wins';
