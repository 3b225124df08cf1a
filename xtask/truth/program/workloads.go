package main

import (
	"sync"
	"time"
)

const (
	short = 50 * time.Microsecond
	long  = 300 * time.Microsecond
)

// channels: without a buffer, with one, closed, and nil.
func channels(g *group) {
	ping, pong := make(chan int), make(chan int)
	g.start(func() {
		for g.isOn() {
			time.Sleep(long)
			ping <- 1
			<-pong
		}
		close(ping)
	})
	g.start(func() {
		for range ping {
			work(short)
			pong <- 1
		}
	})
	buffered := make(chan int, 4)
	g.start(func() {
		for g.isOn() {
			for i := 0; i < 16; i++ {
				buffered <- i
			}
			time.Sleep(2 * time.Millisecond)
		}
		close(buffered)
	})
	g.start(func() {
		for range buffered {
			work(short)
		}
	})
	g.repeat(func() {
		closed := make(chan int)
		for i := 0; i < 3; i++ {
			g.start(func() { <-closed })
		}
		time.Sleep(5 * time.Millisecond)
		close(closed)
	})
	go func() {
		g.join()
		var none chan int
		<-none
	}()
}

// mutexes: sync.Mutex, sync.RWMutex, sync.WaitGroup and sync.Cond.
func mutexes(g *group) {
	var mutex sync.Mutex
	for i := 0; i < 3; i++ {
		g.repeat(func() {
			mutex.Lock()
			time.Sleep(long)
			mutex.Unlock()
			work(short)
		})
	}
	var shared sync.RWMutex
	for i := 0; i < 3; i++ {
		g.repeat(func() {
			shared.RLock()
			time.Sleep(long)
			shared.RUnlock()
			work(short)
		})
	}
	g.repeat(func() {
		shared.Lock()
		time.Sleep(long)
		shared.Unlock()
		time.Sleep(long)
	})
	g.repeat(func() {
		var all sync.WaitGroup
		for i := 0; i < 2; i++ {
			all.Add(1)
			g.start(func() {
				time.Sleep(5 * time.Millisecond)
				all.Done()
			})
		}
		all.Wait()
	})
	conditions(g)
}

func conditions(g *group) {
	var mutex sync.Mutex
	cond := sync.NewCond(&mutex)
	isOver := false
	for i := 0; i < 3; i++ {
		g.start(func() {
			mutex.Lock()
			defer mutex.Unlock()
			for !isOver {
				cond.Wait()
			}
		})
	}
	g.start(func() {
		for g.isOn() {
			time.Sleep(long)
			cond.Signal()
			time.Sleep(long)
			cond.Broadcast()
		}
		mutex.Lock()
		defer mutex.Unlock()
		isOver = true
		cond.Broadcast()
	})
}

// selects: of receiving, of sending, and with a time limit.
func selects(g *group) {
	one, other, over := make(chan int), make(chan int, 1), make(chan struct{})
	g.start(func() {
		for {
			select {
			case <-one:
			case <-other:
				work(short)
			case <-over:
				return
			}
		}
	})
	g.start(func() {
		for g.isOn() {
			select {
			case one <- 1:
			case other <- 1:
			}
			time.Sleep(short)
		}
		close(over)
	})
	g.repeat(func() {
		select {
		case <-over:
		case <-time.After(long):
		}
	})
	// Nobody receives while the other one sleeps.
	sent := make(chan int)
	g.start(func() {
		for g.isOn() {
			time.Sleep(long)
			select {
			case <-sent:
			case <-over:
			}
		}
	})
	g.start(func() {
		for {
			select {
			case sent <- 1:
			case <-over:
				return
			}
		}
	})
}

// timers: sleeping, tickers, timers, and functions that are called later.
func timers(g *group) {
	for i := 1; i <= 4; i++ {
		length := time.Duration(i) * 170 * time.Microsecond
		g.repeat(func() { time.Sleep(length) })
	}
	g.start(func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for g.isOn() {
			<-ticker.C
		}
	})
	g.repeat(func() { <-time.NewTimer(long).C })
	g.repeat(func() {
		called := make(chan struct{})
		time.AfterFunc(long, func() { close(called) })
		<-called
	})
}
