//! Pure clock estimation: samples in, offset, rate and error bounds out.
