package main

import (
	"log"
	"sync"
	"time"
)

// itemCount is the number of items that have a price.
const itemCount = 512

// priceCache holds the region's prices. Its flaw is deliberate: refresh keeps the lock while it reads the new
// prices from another region, and every look-up of that time waits.
type priceCache struct {
	mu     sync.Mutex
	prices [itemCount]uint32
}

const (
	refreshEvery = 200 * time.Millisecond
	// refreshPages round trips to the next region, all under the lock.
	refreshPages = 3
	// refresherNumber is the refresher's place among the workers' numbers, which start at 0.
	refresherNumber = 0x7fff
)

func newPriceCache() *priceCache {
	c := &priceCache{}
	for item := range c.prices {
		c.prices[item] = uint32(100 + item)
	}
	return c
}

//go:noinline
func (c *priceCache) get(item uint32) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.prices[item%itemCount]
}

func (c *priceCache) refreshLoop(source string, journal *journal, stop <-chan struct{}) {
	client := newClient(source, journal)
	defer client.close()
	ids := newIDSource("refresh "+source, refresherNumber)
	for !stopped(stop) {
		time.Sleep(refreshEvery)
		if err := c.refresh(client, &ids); err != nil && !stopped(stop) {
			log.Printf("refresh: %v", err)
		}
	}
}

//go:noinline
func (c *priceCache) refresh(client *client, ids *idSource) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for page := 0; page < refreshPages; page++ {
		item := uint32(page)
		reply, err := client.call(frame{id: ids.next(), hop: 1, value: item})
		if err != nil {
			return err
		}
		c.prices[item] = reply.value
	}
	return nil
}
