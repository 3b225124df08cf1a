// Command service is one region of the demo: a small pricing service that calls the next region.
//
// The regions form a chain. A worker sends a request to the next region and waits for the reply; a region that
// receives a request looks a price up and, unless it is the end of the chain, asks the next region in turn. In the
// region started with -contend the look-up passes a mutex that a refresher holds while it talks to another region:
// the fault that the demo is to find.
//
// Each request is journalled with the stamps of CLOCK_MONOTONIC around the socket's write and read. The journal is
// what the demo compares Syncline's answer with; nothing of Syncline reads it.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

type options struct {
	region   string
	listen   string
	next     string
	feedTo   string
	workers  int
	duration time.Duration
	journal  string
	contend  bool
	seed     int64
}

func main() {
	log.SetFlags(0)
	opts := parseOptions()
	log.SetPrefix("service " + opts.region + ": ")
	if err := run(opts); err != nil {
		log.Fatal(err)
	}
}

func parseOptions() options {
	var o options
	flag.StringVar(&o.region, "region", "", "name of this region (required)")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to serve on")
	flag.StringVar(&o.next, "next", "", "address of the next region; empty at the end of the chain")
	flag.StringVar(&o.feedTo, "feed-to", "", "address of the next region's feed; empty for none")
	flag.IntVar(&o.workers, "workers", 0, "goroutines that send requests to the next region")
	flag.DurationVar(&o.duration, "duration", 0, "stop after this long; 0: at SIGTERM or SIGINT")
	flag.StringVar(&o.journal, "log", "", "file for the journal of requests, JSON lines (required)")
	flag.BoolVar(&o.contend, "contend", false, "hold the price cache's lock while it is refreshed from the next region")
	flag.Int64Var(&o.seed, "seed", 1, "seed of the workers' pauses")
	flag.Parse()
	return o
}

func (o options) check() error {
	switch {
	case o.region == "":
		return fmt.Errorf("-region is missing")
	case o.journal == "":
		return fmt.Errorf("-log is missing")
	case o.workers > 0 && o.next == "":
		return fmt.Errorf("-workers needs -next: there is nobody to call")
	case o.contend && o.next == "":
		return fmt.Errorf("-contend needs -next: the refresh reads the prices from there")
	}
	return nil
}

func run(o options) error {
	if err := o.check(); err != nil {
		return err
	}
	journal, err := openJournal(o.journal)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("cannot serve on %s: %w", o.listen, err)
	}
	feed, err := listenFeed()
	if err != nil {
		return err
	}
	prices := newPriceCache()
	stop := make(chan struct{})
	var work sync.WaitGroup

	srv := &server{listener: listener, next: o.next, prices: prices, journal: journal}
	go srv.serve()
	go feed.serve()
	startWorkers(o, journal, stop, &work)
	if o.contend {
		work.Add(1)
		go func() {
			defer work.Done()
			prices.refreshLoop(o.next, journal, stop)
		}()
	}
	if o.feedTo != "" {
		work.Add(1)
		go func() {
			defer work.Done()
			feedLoop(o.feedTo, stop)
		}()
	}
	fmt.Printf("ready region=%s listen=%s feed=%s pid=%d\n", o.region, listener.Addr(), feed.listener.Addr(), os.Getpid())

	waitForEnd(o.duration)
	close(stop)
	work.Wait()
	srv.close()
	feed.close()
	return journal.close()
}

func startWorkers(o options, journal *journal, stop <-chan struct{}, work *sync.WaitGroup) {
	for i := 0; i < o.workers; i++ {
		w := newWorker(o.region, i, o.seed, o.next, journal)
		work.Add(1)
		go func() {
			defer work.Done()
			w.loop(stop)
		}()
	}
}

// waitForEnd returns at SIGTERM or SIGINT, or after duration when it is not zero.
func waitForEnd(duration time.Duration) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	var timeout <-chan time.Time
	if duration > 0 {
		timeout = time.After(duration)
	}
	select {
	case <-signals:
	case <-timeout:
	}
}
