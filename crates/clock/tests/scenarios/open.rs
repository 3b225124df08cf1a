//! Limits that the estimator does not keep yet. An entry goes when its line says "no longer missed".

use crate::judge::Kind::{self, Disruptions, Hard, Refused, Width};

/// Limits other than the point error that are not kept, and why.
pub(crate) const KNOWN_OPEN: &[(u16, Kind, &str)] = &[
    (40, Disruptions, "the limit is none, and it is noticed"),
    (44, Disruptions, COUNTED_TWICE),
    (45, Disruptions, COUNTED_TWICE),
    (77, Width, WIDE_BRACKETS),
    (77, Disruptions, WIDE_BRACKETS),
    (85, Width, FUTURE),
    (85, Disruptions, FUTURE),
    (86, Width, "a RAW that goes back is refused for ever, and MONO is placed without knots from then on"),
    (86, Refused, "a RAW that goes back is refused for ever, and MONO is placed without knots from then on"),
    (87, Hard, "the distance of a probe from the knots saturates and is taken for a real one"),
    (96, Width, FUTURE),
    (97, Width, FUTURE),
    (101, Disruptions, WIDE_BRACKETS),
];

const COUNTED_TWICE: &str = "the slope to the next knot is taken over the jump, so the next knot seems to jump too";
const WIDE_BRACKETS: &str = "slopes taken over wide brackets are believed to the nanosecond: knots seem to jump";
const FUTURE: &str = "a stamp far in the future is believed, and everything honest is refused as older than it";

/// Scenarios whose point error is not reached: the offset is the middle of the hard interval.
pub(crate) const POINT_NOT_YET: &[u16] = &[
    1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
    33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
    63, 64, 65, 66, 67, 68, 69, 70, 73, 74, 75, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 96, 97,
    98, 99, 100,
];
