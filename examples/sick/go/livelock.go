package main

import (
	"crypto/sha256"
	"sync"
)

const accounts = 24

type account struct {
	lock    sync.Mutex
	balance int
}

// check is the work done while the first account is held.
func check(id int) { _ = sha256.Sum256(make([]byte, 4096+id)) }

// moveRing holds its own account and tries the neighbour's. So does the neighbour: all hold one, all fail
// on the next, all give way and try again at once.
func moveRing(ring []account, id int, attempts, success *counter) {
	own, next := &ring[id], &ring[(id+1)%len(ring)]
	for {
		attempts.inc()
		own.lock.Lock()
		check(id)
		if next.lock.TryLock() {
			own.balance--
			next.balance++
			next.lock.Unlock()
			own.lock.Unlock()
			success.inc()
			return
		}
		own.lock.Unlock()
	}
}

func startRing() {
	ring := make([]account, accounts)
	attempts, success := newCounter("transfer_attempts_total"), newCounter("transfer_success_total")
	for id := range ring {
		go func() {
			for {
				moveRing(ring, id, attempts, success)
			}
		}()
	}
}

// moveOrdered waits for both locks, the lower account's first.
func moveOrdered(ring []account, id int, attempts, success *counter) {
	other := (id + 1) % len(ring)
	low, high := &ring[min(id, other)], &ring[max(id, other)]
	attempts.inc()
	check(id)
	low.lock.Lock()
	high.lock.Lock()
	low.balance--
	high.balance++
	high.lock.Unlock()
	low.lock.Unlock()
	success.inc()
}

func startOrdered() {
	ring := make([]account, accounts)
	attempts, success := newCounter("transfer_attempts_total"), newCounter("transfer_success_total")
	for id := range ring {
		go func() {
			for {
				moveOrdered(ring, id, attempts, success)
			}
		}()
	}
}
