package main

import "syscall"

// writeRaw writes n bytes by single system calls, beside other threads that do the same.
func writeRaw(fd, n int) {
	block := make([]byte, chunk)
	for n > 0 {
		wrote, err := syscall.Write(fd, block[:min(n, chunk)])
		if err != nil {
			check(err)
		}
		n -= wrote
	}
}
