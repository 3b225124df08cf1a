// Plugin loads Go code while it runs: the plugin that its argument names, when it reads a line. When it reads another one a goroutine waits
// in it, in a way that is known.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"plugin"
)

func main() {
	input := bufio.NewReader(os.Stdin)
	fmt.Printf("{\"event\":\"started\",\"pid\":%d}\n", os.Getpid())
	input.ReadString('\n')
	loaded, err := plugin.Open(os.Args[1])
	check(err)
	wait, err := loaded.Lookup("Wait")
	check(err)
	fmt.Println(`{"event":"loaded"}`)
	input.ReadString('\n')
	traces := make(chan string)
	for range make([]struct{}, 3) {
		go func() { traces <- wait.(func() string)() }()
		line, err := json.Marshal(map[string]string{"event": "waited", "trace": <-traces})
		check(err)
		fmt.Println(string(line))
	}
	fmt.Println(`{"event":"done"}`)
	input.ReadString('\n')
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
