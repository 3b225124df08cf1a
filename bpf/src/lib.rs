//! Kernel side: the BPF object (C with CO-RE), embedded, and its records mirrored in Rust.
