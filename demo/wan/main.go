// Command wan is a link between two regions: a TCP relay that delays each direction by its own time and jitter.
//
// It stands in for a network emulator that the kernel may lack. Bytes keep their order, as on a real connection.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"os"
	"sync"
	"time"
)

type link struct {
	to       string
	out      direction
	back     direction
	accepted int64
	seed     int64
}

// direction delays what it carries by delay plus a uniform part of jitter.
type direction struct {
	delay  time.Duration
	jitter time.Duration
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("wan: ")
	listen := flag.String("listen", "127.0.0.1:0", "address to accept connections on")
	to := flag.String("to", "", "address to pass them on to (required)")
	delay := flag.Duration("delay", 4*time.Millisecond, "one-way delay towards -to")
	back := flag.Duration("delay-back", -1, "one-way delay from -to; negative: the same as -delay")
	jitter := flag.Duration("jitter", 0, "greatest addition to either delay, uniform")
	seed := flag.Int64("seed", 1, "seed of the jitter")
	flag.Parse()
	if *to == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if *back < 0 {
		*back = *delay
	}
	l := &link{to: *to, out: direction{*delay, *jitter}, back: direction{*back, *jitter}, seed: *seed}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatalf("cannot listen on %s: %v", *listen, err)
	}
	fmt.Printf("ready listen=%s to=%s\n", listener.Addr(), *to)
	log.Fatal(l.serve(listener))
}

func (l *link) serve(listener net.Listener) error {
	for {
		near, err := listener.Accept()
		if err != nil {
			return err
		}
		l.accepted++
		go l.join(near, l.seed<<20+l.accepted<<1)
	}
}

// join relays both directions until each has ended.
func (l *link) join(near net.Conn, seed int64) {
	defer near.Close()
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		log.Printf("cannot reach %s: %v", l.to, err)
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Add(2)
	go func() {
		defer both.Done()
		l.out.carry(far, near, seed)
	}()
	go func() {
		defer both.Done()
		l.back.carry(near, far, seed+1)
	}()
	both.Wait()
}

// parcel is a piece of the stream and the time at which it leaves the link.
type parcel struct {
	bytes []byte
	due   time.Time
}

// inFlight bounds the parcels on the way; a full link pushes back on the sender as a full window does.
const inFlight = 1024

// carry moves bytes from one connection to the other. The end of the stream is delayed like its bytes.
func (d direction) carry(to, from net.Conn, seed int64) {
	parcels := make(chan parcel, inFlight)
	go d.accept(parcels, from, seed)
	failed := false
	for p := range parcels {
		time.Sleep(time.Until(p.due))
		if failed {
			continue
		}
		if err := deliver(to, p.bytes); err != nil {
			failed = true
			from.Close()
		}
	}
}

// accept stamps what arrives. A parcel is never due before the one ahead of it.
func (d direction) accept(parcels chan<- parcel, from net.Conn, seed int64) {
	defer close(parcels)
	random := rand.New(rand.NewSource(seed))
	var last time.Time
	for {
		buffer := make([]byte, 16<<10)
		n, err := from.Read(buffer)
		due := time.Now().Add(d.pick(random))
		if due.Before(last) {
			due = last
		}
		last = due
		if n > 0 {
			parcels <- parcel{buffer[:n], due}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				log.Printf("read from %s: %v", from.RemoteAddr(), err)
			}
			parcels <- parcel{nil, due}
			return
		}
	}
}

func (d direction) pick(random *rand.Rand) time.Duration {
	if d.jitter <= 0 {
		return d.delay
	}
	return d.delay + time.Duration(random.Int63n(int64(d.jitter)))
}

// deliver writes the bytes; none means the end of the stream.
func deliver(to net.Conn, bytes []byte) error {
	if len(bytes) > 0 {
		_, err := to.Write(bytes)
		return err
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return to.Close()
}
