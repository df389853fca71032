package main

import (
	"sync/atomic"
	"time"
)

const (
	mailsPerBatch  = 20
	batchEvery     = 40 * time.Millisecond
	mailsPerSecond = 100
)

// startMail starts a goroutine per mail; each waits for its turn at a server that takes 100 a second.
func startMail() {
	sent := newCounter("mails_sent_total")
	start := time.Now()
	var turn atomic.Int64
	deliver := func() {
		slot := start.Add(time.Duration(turn.Add(1)) * time.Second / mailsPerSecond)
		time.Sleep(time.Until(slot))
		sent.inc()
	}
	go func() {
		for range time.Tick(batchEvery) {
			for range mailsPerBatch {
				go deliver()
			}
		}
	}()
}

// startPool has eight workers, and a producer that waits when the queue is full.
func startPool() {
	sent := newCounter("mails_sent_total")
	queue := make(chan int, 64)
	for range 8 {
		go func() {
			for range queue {
				time.Sleep(8 * time.Second / mailsPerSecond)
				sent.inc()
			}
		}()
	}
	go func() {
		for mail := 0; ; mail++ {
			queue <- mail
		}
	}()
}
