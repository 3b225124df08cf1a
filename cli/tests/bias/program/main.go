// Blocks of known kinds and lengths, told what to do by its first argument:
//
//	work [N]                          N rounds, by the environment
//	args RATE FILE [N]                the same, told by its arguments
//	serve ADDRESS                     works until it is ended; rate and profile over HTTP
//	until-term                        works until it is ended, by the environment
//	deaf, unset, headstrong, fail     what programs do wrong
package main

import (
	"fmt"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"syscall"
)

func main() {
	mode, rest := os.Args[1], os.Args[2:]
	switch mode {
	case "work":
		defer blockProfile()()
		rounds(number(rest, 0))
	case "args":
		runtime.SetBlockProfileRate(number(rest, 0))
		rounds(number(rest, 2))
		write(rest[1])
	case "serve":
		serve(rest[0])
	case "until-term":
		write := blockProfile()
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		var over atomic.Bool
		done := make(chan struct{})
		go func() {
			for !over.Load() {
				rounds(10)
			}
			close(done)
		}()
		<-ended
		over.Store(true)
		<-done
		write()
	case "deaf":
		rounds(10)
	case "unset":
		rounds(10)
		write(os.Getenv("SYNCLINE_BLOCK_PROFILE"))
	case "headstrong":
		runtime.SetBlockProfileRate(1)
		rounds(10)
		write(os.Getenv("SYNCLINE_BLOCK_PROFILE"))
	case "fail":
		fmt.Fprintln(os.Stderr, "the disk is on fire")
		os.Exit(3)
	}
}

func serve(address string) {
	http.HandleFunc("/rate", func(_ http.ResponseWriter, request *http.Request) {
		rate, _ := strconv.Atoi(request.FormValue("ns"))
		runtime.SetBlockProfileRate(rate)
	})
	http.HandleFunc("/work", func(http.ResponseWriter, *http.Request) { rounds(20) })
	if err := http.ListenAndServe(address, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(path string) {
	file, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	pprof.Lookup("block").WriteTo(file, 0)
}

func number(arguments []string, at int) int {
	if at >= len(arguments) {
		return 50
	}
	number, err := strconv.Atoi(arguments[at])
	if err != nil {
		panic(err)
	}
	return number
}
