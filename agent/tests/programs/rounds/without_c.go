//go:build !cgo

package main

// callC does nothing where there is no C code.
func callC() {}
