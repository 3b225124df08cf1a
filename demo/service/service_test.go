package main

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

type line struct {
	ID   uint64 `json:"id"`
	Hop  uint32 `json:"hop"`
	Role string `json:"role"`
	Goid uint64 `json:"goid"`
	Sent int64  `json:"send_mono_ns"`
	Recv int64  `json:"recv_mono_ns"`
}

func startServer(t *testing.T, next, path string) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{listener: listener, next: next, prices: newPriceCache(), journal: j}
	go s.serve()
	return s
}

func readJournal(t *testing.T, path string) []line {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var lines []line
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", scanner.Text(), err)
		}
		lines = append(lines, l)
	}
	return lines
}

func TestChainJournalsBothSidesOfEveryHopInCausalOrder(t *testing.T) {
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "us"), filepath.Join(dir, "eu"), filepath.Join(dir, "ap")}
	ap := startServer(t, "", paths[2])
	eu := startServer(t, ap.listener.Addr().String(), paths[1])
	us, err := openJournal(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	const calls = 50
	c := newClient(eu.listener.Addr().String(), us)
	for id := uint64(1); id <= calls; id++ {
		reply, err := c.call(frame{id: id, hop: 1, value: uint32(id)})
		if err != nil {
			t.Fatal(err)
		}
		if reply.value != 100+uint32(id) {
			t.Fatalf("price of item %d is %d", id, reply.value)
		}
	}
	c.close()
	eu.close()
	ap.close()
	for _, j := range []*journal{us, eu.journal, ap.journal} {
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	}

	type key struct {
		id   uint64
		hop  uint32
		role string
	}
	all := map[key]line{}
	for _, path := range paths {
		for _, l := range readJournal(t, path) {
			all[key{l.ID, l.Hop, l.Role}] = l
		}
	}
	if len(all) != calls*4 {
		t.Fatalf("%d journal entries, expected %d", len(all), calls*4)
	}
	for id := uint64(1); id <= calls; id++ {
		for hop := uint32(1); hop <= 2; hop++ {
			client, server := all[key{id, hop, "client"}], all[key{id, hop, "server"}]
			if !(client.Sent < server.Recv && server.Recv <= server.Sent && server.Sent < client.Recv) {
				t.Errorf("request %d hop %d out of order: client %+v server %+v", id, hop, client, server)
			}
		}
		if a, b := all[key{id, 1, "server"}], all[key{id, 2, "client"}]; a.Goid != b.Goid {
			t.Errorf("request %d: served by goroutine %d, passed on by %d", id, a.Goid, b.Goid)
		}
	}
}

func TestGoroutineIDsDiffer(t *testing.T) {
	ids := make(chan uint64, 8)
	var all sync.WaitGroup
	for i := 0; i < cap(ids); i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			ids <- goroutineID()
		}()
	}
	all.Wait()
	close(ids)
	seen := map[uint64]bool{goroutineID(): true}
	for id := range ids {
		if id == 0 || seen[id] {
			t.Fatalf("goroutine id %d is zero or not unique", id)
		}
		seen[id] = true
	}
}

func TestRequestIDsOfWorkersDoNotMeet(t *testing.T) {
	seen := map[uint64]bool{}
	for _, region := range []string{"us", "eu", "ap"} {
		for worker := 0; worker < 20; worker++ {
			ids := newIDSource(region, worker)
			for i := 0; i < 100; i++ {
				id := ids.next()
				if seen[id] || id>>63 != 0 {
					t.Fatalf("request id %#x of %s/%d was used before or is negative", id, region, worker)
				}
				seen[id] = true
			}
		}
	}
}
