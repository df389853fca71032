package main

import (
	"io"
	"net"
	"net/http"
	"time"
)

// hung accepts connections and never answers.
func hung() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		var held []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			held = append(held, conn)
		}
	}()
	return "http://" + listener.Addr().String()
}

// fetchAvatar asks for a picture; without one the page does without.
func fetchAvatar(client *http.Client, url string) {
	response, err := client.Get(url)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

func startAvatar() {
	url := hung()
	handle(func() { fetchAvatar(http.DefaultClient, url) })
}

func startPatient() {
	url := hung()
	client := &http.Client{Timeout: 300 * time.Millisecond}
	handle(func() { fetchAvatar(client, url) })
}
