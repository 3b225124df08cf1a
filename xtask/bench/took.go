package main

import (
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// quantile is the least time that so large a share of them does not exceed.
func quantile(took []time.Duration, share float64) time.Duration {
	sorted := slices.Clone(took)
	slices.Sort(sorted)
	rank := int(math.Ceil(share*float64(len(sorted)))) - 1
	return sorted[max(rank, 0)]
}

// together does the same n times at once, and adds up what was done.
func together(n int, one func(i int) (work, error)) (work, error) {
	done, failures := make([]work, n), make([]error, n)
	var all sync.WaitGroup
	for i := range done {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			done[i], failures[i] = one(i)
		}(i)
	}
	all.Wait()
	var sum work
	for _, part := range done {
		sum.ops += part.ops
		sum.took = append(sum.took, part.took...)
	}
	return sum, errors.Join(failures...)
}
