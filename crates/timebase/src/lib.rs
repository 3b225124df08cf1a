//! Words of time: instants on named scales, offsets, frequency errors, error bounds.
