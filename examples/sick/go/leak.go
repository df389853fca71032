package main

import (
	"sync"
	"time"
)

// find asks a slow shard and gives up after 10 ms; whoever answers later stays.
func find(answers chan int) {
	go func() {
		time.Sleep(50 * time.Millisecond)
		answers <- 1
	}()
	select {
	case <-answers:
	case <-time.After(10 * time.Millisecond):
	}
}

func startAnswer()   { handle(func() { find(make(chan int)) }) }
func startBuffered() { handle(func() { find(make(chan int, 1)) }) }

type shelf struct {
	lock  sync.Mutex
	items int
}

// addKept returns early on the tenth item, and keeps the lock.
func (s *shelf) addKept() {
	s.lock.Lock()
	s.items++
	if s.items == 10 {
		return
	}
	s.lock.Unlock()
}

func (s *shelf) addDeferred() {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.items++
	if s.items == 10 {
		return
	}
}

func startBasket() {
	var basket shelf
	handle(basket.addKept)
}

func startDeferred() {
	var basket shelf
	handle(basket.addDeferred)
}
