package main

import (
	"math/rand/v2"
	"net"
	"time"
)

// closedPort is one that nobody listens on.
func closedPort() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// connect dials until somebody answers, every 2 ms.
func connect(address string, attempts, success *counter) {
	for {
		attempts.inc()
		conn, err := net.Dial("tcp", address)
		if err == nil {
			success.inc()
			_ = conn.Close()
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func startDial() {
	address := closedPort()
	attempts, success := newCounter("dial_attempts_total"), newCounter("dial_success_total")
	for range 40 {
		go connect(address, attempts, success)
	}
}

// openPort is one that somebody listens on, who hangs up at once.
func openPort() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

// connectPatiently doubles its pause, with full jitter, and gives up after five attempts.
func connectPatiently(address func() string, attempts, success *counter) {
	pause := 10 * time.Millisecond
	for range 5 {
		attempts.inc()
		conn, err := net.Dial("tcp", address())
		if err == nil {
			success.inc()
			_ = conn.Close()
			return
		}
		time.Sleep(rand.N(pause))
		pause *= 2
	}
}

func startBackoff() {
	closed, open := closedPort(), openPort()
	attempts, success := newCounter("dial_attempts_total"), newCounter("dial_success_total")
	// One attempt in ten meets the closed port.
	address := func() string {
		if rand.N(10) == 0 {
			return closed
		}
		return open
	}
	for range 40 {
		go func() {
			for {
				connectPatiently(address, attempts, success)
				time.Sleep(100*time.Millisecond + rand.N(100*time.Millisecond))
			}
		}()
	}
}
