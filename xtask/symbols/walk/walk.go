// Package walk lets a program tell what its own runtime knows of each byte of its code.
package walk

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
)

// Asked says whether the program was started to tell of its code instead of doing its work.
func Asked() bool { return len(os.Args) == 5 && os.Args[1] == "walk-symbols" }

// Run prints the calls that each byte of code belongs to, for the addresses that the arguments give: first, end, and that of Run
// itself, all as the linker knows them. There is a line wherever the calls change:
//
//	address TAB kind TAB function TAB file TAB line [ TAB function TAB file TAB line ... ]
//
// The kind is "all" when all calls follow, innermost first, "inner" when the innermost is the only one that the runtime tells, and
// "endless", with the innermost, when it tells of more than any stack has. A line with the end stands at the end.
func Run() {
	first, end, self := address(os.Args[2]), address(os.Args[3]), address(os.Args[4])
	bias := reflect.ValueOf(Run).Pointer() - self
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	var last, calls []call
	var lastKind, kind string
	for pc := first; pc < end; pc++ {
		calls, kind = callsAt(pc+bias, calls[:0])
		if kind != lastKind || !slices.Equal(calls, last) {
			print(out, pc, kind, calls)
			last, calls, lastKind = calls, last, kind
		}
	}
	fmt.Fprintf(out, "%x\tend\n", end)
	if err := out.Flush(); err != nil {
		panic(err)
	}
}

type call struct {
	function, file string
	line           int
}

func address(text string) uintptr {
	number, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		panic(err)
	}
	return uintptr(number)
}

// expands is whether runtime.CallersFrames gives the calls around any address, since Go 1.23, and not only those of whole stacks.
var expands = func() bool {
	var minor int
	_, err := fmt.Sscanf(runtime.Version(), "go1.%d", &minor)
	return err == nil && minor >= 23
}()

// most is more calls than the compiler puts into one another.
const most = 200

// callsAt adds the calls at an address to an empty list.
func callsAt(pc uintptr, calls []call) ([]call, string) {
	if !expands {
		return innermost(pc, calls), "inner"
	}
	// It takes return addresses, so one is added; the calls around the last address of a list are not told.
	frames := runtime.CallersFrames([]uintptr{pc + 1, reflect.ValueOf(Run).Pointer() + 1})
	for {
		frame, more := frames.Next()
		if !more && len(calls) > 0 {
			return calls, "all"
		}
		if !more || frame.Entry == pc+1 {
			// The last byte of a function: one added leads into the next, or to none.
			return innermost(pc, calls[:0]), "inner"
		}
		calls = append(calls, call{frame.Function, frame.File, frame.Line})
		if len(calls) > most {
			return calls[:1], "endless"
		}
	}
}

func innermost(pc uintptr, calls []call) []call {
	function := runtime.FuncForPC(pc)
	if function == nil {
		return calls
	}
	file, line := function.FileLine(pc)
	return append(calls, call{function.Name(), file, line})
}

func print(out *bufio.Writer, pc uintptr, kind string, calls []call) {
	fmt.Fprintf(out, "%x\t%s", pc, kind)
	for _, call := range calls {
		fmt.Fprintf(out, "\t%s\t%s\t%d", call.function, call.file, call.line)
	}
	out.WriteByte('\n')
}
