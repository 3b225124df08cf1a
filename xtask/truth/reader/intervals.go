package main

import (
	"encoding/json"
	"strings"

	"golang.org/x/exp/trace"
)

// intervals follows the states of all goroutines.
type intervals struct {
	output *json.Encoder
	open   map[trace.GoID]*interval
}

func newIntervals(output *json.Encoder) *intervals {
	return &intervals{output, map[trace.GoID]*interval{}}
}

func (i *intervals) take(event trace.Event) error {
	if found, is, err := anchorOf(event); err != nil {
		return err
	} else if is {
		return i.output.Encode(found)
	}
	if event.Kind() != trace.EventStateTransition {
		return nil
	}
	transition := event.StateTransition()
	if transition.Resource.Kind != trace.ResourceGoroutine {
		return nil
	}
	return i.change(event, transition)
}

func (i *intervals) change(event trace.Event, transition trace.StateTransition) error {
	id, now := transition.Resource.Goroutine(), int64(event.Time())
	from, to := transition.Goroutine()
	if from == to {
		return nil // a new generation of the trace says once more what is known
	}
	switch to {
	case trace.GoWaiting:
		i.open[id] = begun("park", id, now, from, transition)
		i.open[id].Reason = transition.Reason
	case trace.GoSyscall:
		i.open[id] = begun("syscall", id, now, from, transition)
	case trace.GoRunnable:
		if open := i.open[id]; open != nil && open.Ready == nil {
			open.Ready = &now
			open.Waker = waker(event, open, id)
		}
	case trace.GoRunning:
		open := i.open[id]
		if open == nil {
			return nil
		}
		delete(i.open, id)
		open.Run = &now
		open.Coroutine = from == trace.GoWaiting
		return i.output.Encode(open)
	case trace.GoNotExist:
		delete(i.open, id)
	}
	return nil
}

func begun(kind string, id trace.GoID, now int64, from trace.GoState, transition trace.StateTransition) *interval {
	return &interval{
		Kind: kind, Goid: id, Start: now, Before: from == trace.GoUndetermined, Function: function(transition.Stack),
	}
}

// waker is the goroutine that ran where the event happened, if one did.
func waker(event trace.Event, open *interval, id trace.GoID) *uint64 {
	by := event.Goroutine()
	if open.Kind != "park" || by == trace.NoGoroutine || by == id {
		return nil
	}
	number := uint64(by)
	return &number
}

// finish tells of what goes on at the end of the trace.
func (i *intervals) finish() error {
	for _, open := range i.open {
		if err := i.output.Encode(open); err != nil {
			return err
		}
	}
	return nil
}

func function(stack trace.Stack) string {
	last := ""
	for frame := range stack.Frames() {
		last = frame.Func
		if !strings.HasPrefix(last, "runtime.") {
			break
		}
	}
	return last
}
