//! Pure reader of Go binaries: build info, probe sites, struct offsets, symbols.
