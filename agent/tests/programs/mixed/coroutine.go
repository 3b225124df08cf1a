//go:build go1.23

package main

import "iter"

func init() { more = append(more, load{"pulled", pull}) }

func pull() bool {
	next, stop := iter.Pull(func(yield func(int) bool) {
		for i := 0; yield(i); i++ {
		}
	})
	defer stop()
	sum := 0
	for i := 0; i < 10; i++ {
		n, _ := next()
		sum += n
	}
	return sum == 45
}
