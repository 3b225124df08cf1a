-- Waits that were found going on when their process was first observed.

ALTER TABLE events
    COMMENT COLUMN IF EXISTS tid 'thread that waited, or that the goroutine parked on; 0 = not known, of a goroutine where flags has bit 7',
    COMMENT COLUMN IF EXISTS dur_ns 'begin to end (running again, back from the call); ns of mono; a lower bound where flags has bit 7',
    COMMENT COLUMN IF EXISTS flags 'bit 0 (1): the ready was seen; bit 1 (2): woken by the network poller; bit 2 (4): the stack was cut; bit 3 (8): a frame of it could not be read; bit 4 (16): the thread ran no goroutine; bit 5 (32): whether it ran one is not known; bit 7 (128): it was found going on when its process was first observed, which is its begin here: it began before';

ALTER TABLE open_waits
    COMMENT COLUMN IF EXISTS tid 'thread that waits, or that the goroutine parked on; 0 = not known, of a goroutine where flags has bit 7',
    COMMENT COLUMN IF EXISTS dur_ns 'how long it had gone on when it was looked at, or until its process ended; ns of mono; a lower bound where flags has bit 7',
    COMMENT COLUMN IF EXISTS flags 'bits 0 to 5 and 7 as in events; bit 6 (64): it never ended, its process did';
