// Caddy, a large real program, which also tells what its runtime knows of its code, and turns Go's own observers on.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/syncline/syncline/bench/observing"
	"github.com/syncline/syncline/symbols/walk"
)

func main() {
	if walk.Asked() {
		walk.Run()
		return
	}
	observing.Begin()
	caddycmd.Main()
}
