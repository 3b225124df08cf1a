//go:build cgo

package main

// #include <unistd.h>
import "C"

// callC waits in C code.
func callC() {
	C.usleep(20000)
}
