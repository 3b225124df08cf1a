//go:build cgo

package main

// #include <unistd.h>
import "C"

var inC = func() {
	for i := 0; i < rounds; i++ {
		C.usleep(C.useconds_t(nap.Microseconds()))
	}
}
