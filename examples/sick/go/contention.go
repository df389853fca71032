package main

import (
	"sync"
	"sync/atomic"
	"time"
)

type drawer struct {
	lock sync.Mutex
	sum  int
}

// add holds the lock across the call to the printer.
func (d *drawer) add(amount int) {
	d.lock.Lock()
	defer d.lock.Unlock()
	d.sum += amount
	time.Sleep(20 * time.Millisecond)
}

func startTill() {
	var till drawer
	orders := newCounter("orders_done_total")
	for range 60 {
		go func() {
			for {
				till.add(1)
				orders.inc()
			}
		}()
	}
}

func startTills() {
	tills := make([]drawer, 64)
	var turn atomic.Int64
	orders := newCounter("orders_done_total")
	for range 60 {
		go func() {
			own := &tills[turn.Add(1)%int64(len(tills))]
			for {
				own.add(1)
				orders.inc()
			}
		}()
	}
}
