package main

import (
	"context"
	"runtime/pprof"
	"time"
)

// labelled are goroutines by the labels that they set, as tracers do. More than eight labels are not all looked at; the names of
// `many` lie before `trace_id` in order.
var labelled = []struct {
	name   string
	labels []string
}{
	{"plain", nil},
	{"otel", []string{
		"trace_id", "4bf92f3577b34da6a3ce929d0e0e4736", "span_id", "00f067aa0ba902b7", "endpoint", "/pay"}},
	{"upper", []string{"traceID", "4BF92F3577B34DA6A3CE929D0E0E4736", "spanID", "00F067AA0BA902B7"}},
	{"short", []string{"trace.id", "a3ce929d0e0e4736"}},
	{"pyroscope", []string{"profile_id", "00f067aa0ba902b8", "span_name", "pay"}},
	{"datadog", []string{"span id", "5309481029347812034", "local root span id", "7", "trace endpoint", "pay"}},
	{"beyond", []string{"span id", "18446744073709551616"}},
	{"malformed", []string{"trace_id", "4bf92f3577b34da6a3ce929d0e0e473x", "span_id", "none"}},
	{"long", []string{"trace_id", string(make([]byte, 10_000))}},
	{"others", []string{"user", "7", "zone", "a"}},
	{"many", []string{"a", "1", "b", "2", "c", "3", "d", "4", "e", "5", "f", "6", "g", "7", "h", "8", "i", "9",
		"trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"}},
}

// runLabels has each of them wait a while, one after the other, and says which goroutine it was.
func runLabels() {
	for _, each := range labelled {
		goids := make(chan uint64)
		go pprof.Do(context.Background(), pprof.Labels(each.labels...), func(context.Context) {
			goids <- goid()
			<-time.After(10 * time.Millisecond)
			goids <- 0
		})
		id := <-goids
		<-goids
		report(map[string]any{"event": "labelled", "name": each.name, "goid": id})
	}
}
