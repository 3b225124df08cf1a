//! How history is thinned with age.

use syncline_timebase::Span;

/// A stretch may be as long as this part of its age.
const AGE_PER_STRETCH: i64 = 16;

/// Whether two neighbouring stretches, `stretch` long together, may become one when `age` has passed since.
///
/// Stretches in proportion to age keep the whole past in a number of points that grows with the logarithm of it.
pub(crate) fn may_span(stretch: Span, age: Span) -> bool {
    stretch.ns() <= age.ns() / AGE_PER_STRETCH
}
