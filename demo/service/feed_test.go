package main

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestTheFeedAnswersBlockByBlock(t *testing.T) {
	f, err := listenFeed()
	if err != nil {
		t.Fatal(err)
	}
	go f.serve()
	defer f.close()
	conn, err := net.Dial("tcp", f.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	block := make([]byte, feedBlock)
	for i := 0; i < 3; i++ {
		block[0] = byte(i)
		if _, err := conn.Write(block); err != nil {
			t.Fatal(err)
		}
		back := make([]byte, feedBlock)
		if _, err := io.ReadFull(conn, back); err != nil {
			t.Fatal(err)
		}
		if back[0] != byte(i) {
			t.Fatalf("block %d came back as %d", i, back[0])
		}
	}
}

func TestTheFeedEndsAtStop(t *testing.T) {
	f, err := listenFeed()
	if err != nil {
		t.Fatal(err)
	}
	go f.serve()
	defer f.close()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		feedLoop(f.listener.Addr().String(), stop)
		close(ended)
	}()
	close(stop)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
}
