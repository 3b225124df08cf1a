//go:build cgo

package main

// #include <unistd.h>
import "C"

func init() {
	more = append(more, way{"cgo", "cgo call", func() (func(), func()) {
		return func() { C.usleep(C.useconds_t(hold.Microseconds())) }, nothing
	}})
}
