// The fixture reports what the Go runtime knows about the fixture itself, for comparison with what is read from its file.
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strconv"
)

func main() {
	switch os.Args[1] {
	case "callers":
		reportCallers()
	case "expand":
		expandAddresses()
	case "layout":
		reportLayout(os.Args[2])
	}
}

// mainEntry is the address of main.main in this process.
func mainEntry() uintptr { return reflect.ValueOf(main).Pointer() }

// reportCallers prints stacks from within inlined calls: "pc TAB function TAB file TAB line", an empty line after each stack.
func reportCallers() {
	fmt.Printf("%x\n", mainEntry())
	outermost(3)
	generic([]int{1, 2}, func(n int) int { return deep(n) })
	generic([]string{"a"}, func(s string) int { return middle(len(s)) })
	var s shape = &square{2}
	s.area()
	s = square{3}
	s.area()
	func() {
		defer func() { record(cgoValue()) }()
		innermost(4)
	}()
	closures(5)
	spawn(6)
}

// closures has functions whose names the compiler makes.
//
//go:noinline
func closures(n int) {
	call(func() int {
		call(func() int { return innermost(n) })
		return record(n)
	})
	values := list[int]{}
	for _, add := range []func(int) int{values.add, square{n}.scaled, (&square{n}).scaled} {
		call(func() int { return add(n) })
	}
	area := square{n}.area
	call(area)
	defer record(n)
}

//go:noinline
func call(f func() int) int { return f() }

func spawn(n int) {
	done := make(chan bool)
	go func() {
		innermost(n)
		done <- true
	}()
	<-done
	go tell(n, done)
	<-done
}

//go:noinline
func tell(n int, done chan bool) {
	record(n)
	done <- true
}

type list[T any] struct{ values []T }

//go:noinline
func (l *list[T]) add(value T) int {
	l.values = append(l.values, value)
	keep := func() int { return record(len(l.values)) }
	return call(keep)
}

//go:noinline
func outermost(n int) int { return middle(n) + innermost(n) }

func middle(n int) int {
	return innermost(n) +
		deep(n)
}

func innermost(n int) int { return record(n) }

//go:noinline
func deep(n int) int {
	if n == 0 {
		return middleOnce()
	}
	return deep(n - 1)
}

func middleOnce() int { return innermost(0) }

func generic[T any](values []T, f func(T) int) (sum int) {
	for _, value := range values {
		sum += f(value) + recordOf(value)
	}
	return sum
}

func recordOf[T any](value T) int { return record(0) }

type shape interface{ area() int }

type square struct{ side int }

func (s square) area() int { return s.side * innermost(s.side) }

func (s square) scaled(n int) int { return n * record(s.side) }

//go:noinline
func record(n int) int {
	pcs := make([]uintptr, 64)
	pcs = pcs[:runtime.Callers(1, pcs)]
	frames := runtime.CallersFrames(pcs)
	for i := 0; ; i++ {
		frame, more := frames.Next()
		fmt.Printf("%x\t%s\t%s\t%d\n", pcs[i], frame.Function, frame.File, frame.Line)
		if !more {
			break
		}
	}
	fmt.Println()
	return n
}

// expandAddresses reads addresses as decimal offsets from main.main and prints the frames of each like reportCallers.
func expandAddresses() {
	sentinel := reflect.ValueOf(record).Pointer() + 1
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		offset, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			panic(err)
		}
		pc := mainEntry() + uintptr(offset)
		// Callers gives return addresses, so one is added; calls inlined at the last address of a list are not expanded.
		frames := runtime.CallersFrames([]uintptr{pc + 1, sentinel})
		for {
			frame, more := frames.Next()
			if !more {
				break
			}
			fmt.Fprintf(out, "%x\t%s\t%s\t%d\n", pc, frame.Function, frame.File, frame.Line)
		}
		fmt.Fprintln(out)
	}
}
