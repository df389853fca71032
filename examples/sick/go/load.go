package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// load asks for url at a steady rate, whether or not answers come back: the open model, in which a slow
// service sees no fewer arrivals.
func load(url, rate string) {
	perSecond, err := strconv.Atoi(rate)
	if err != nil || perSecond < 1 {
		fmt.Fprintln(os.Stderr, "load: REQUESTS_PER_SECOND must be a number from 1")
		os.Exit(2)
	}
	client := &http.Client{Timeout: 5 * time.Minute}
	for range time.Tick(time.Second / time.Duration(perSecond)) {
		go func() {
			response, err := client.Get(url)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}()
	}
}
