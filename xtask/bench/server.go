package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
)

const (
	hashedBytes = 4 << 10
	answerBytes = 1 << 10
)

// answers is what a small service does: it reads a header, computes for some microseconds, takes a lock, and answers in JSON.
type answers struct {
	mutex sync.Mutex
	given map[string]int
}

type given struct {
	Sum   string `json:"sum"`
	Given int    `json:"given"`
	Fill  string `json:"fill"`
}

func (a *answers) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	text := bytes.Repeat([]byte(request.URL.Path), hashedBytes/len(request.URL.Path))
	sum := fmt.Sprintf("%x", sha256.Sum256(text))
	a.mutex.Lock()
	a.given[sum]++
	times := a.given[sum]
	a.mutex.Unlock()
	response.Header().Set("Content-Type", "application/json")
	fill := string(bytes.Repeat([]byte{'x'}, answerBytes))
	// It fails only where the client has gone.
	_ = json.NewEncoder(response).Encode(given{sum, times, fill})
}

func serveHTTP() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- http.Serve(listener, &answers{given: map[string]int{}}) }()
	fmt.Println("ready", listener.Addr())
	go func() { failed <- untilEnd() }()
	return <-failed
}
