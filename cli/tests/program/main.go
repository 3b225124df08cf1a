// A program whose addresses have names.
package main

import "fmt"

//go:noinline
func serve(customer string) string {
	return fmt.Sprintf("hello, %s", customer)
}

func main() {
	fmt.Println(serve("world"))
}
