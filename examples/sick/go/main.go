// Command sick serves one failure shape, or its healthy twin, with profiles and metrics; it is also the
// load that services which answer requests want.
package main

import (
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"runtime/metrics"
	"sort"
	"strings"
	"sync/atomic"
	"syscall"
)

// shapes start their work and register their handlers; they return at once.
var shapes = map[string]func(){
	"ring":     startRing,
	"ordered":  startOrdered,
	"till":     startTill,
	"tills":    startTills,
	"answer":   startAnswer,
	"buffered": startBuffered,
	"basket":   startBasket,
	"deferred": startDeferred,
	"mail":     startMail,
	"pool":     startPool,
	"avatar":   startAvatar,
	"patient":  startPatient,
	"dial":     startDial,
	"backoff":  startBackoff,
}

func main() {
	switch {
	case len(os.Args) == 4 && os.Args[1] == "serve" && shapes[os.Args[2]] != nil:
		serve(os.Args[2], os.Args[3])
	case len(os.Args) == 4 && os.Args[1] == "load":
		load(os.Args[2], os.Args[3])
	default:
		names := make([]string, 0, len(shapes))
		for name := range shapes {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintf(os.Stderr, "usage: sick serve SHAPE ADDRESS | sick load URL REQUESTS_PER_SECOND\nshapes: %s\n", strings.Join(names, " "))
		os.Exit(2)
	}
}

func serve(shape, address string) {
	http.HandleFunc("/metrics", writeMetrics)
	shapes[shape]()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	// The one line on standard output tells whoever started it where to knock.
	fmt.Println(listener.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(listener, nil))
}

// counter is a metric that only rises.
type counter struct {
	name  string
	value atomic.Int64
}

var counters []*counter

func newCounter(name string) *counter {
	c := &counter{name: name}
	counters = append(counters, c)
	return c
}

func (c *counter) inc() { c.value.Add(1) }

// handle counts what arrives and what is answered.
func handle(work func()) {
	requests, responses := newCounter("http_requests_total"), newCounter("http_responses_total")
	http.HandleFunc("/work", func(w http.ResponseWriter, _ *http.Request) {
		requests.inc()
		work()
		responses.inc()
		fmt.Fprintln(w, "done")
	})
}

func writeMetrics(w http.ResponseWriter, _ *http.Request) {
	samples := []metrics.Sample{
		{Name: "/sync/mutex/wait/total:seconds"},
		{Name: "/sched/goroutines-created:goroutines"},
	}
	metrics.Read(samples)
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	cpu := float64(usage.Utime.Sec+usage.Stime.Sec) + float64(usage.Utime.Usec+usage.Stime.Usec)/1e6
	fmt.Fprintf(w, "go_goroutines %d\n", runtime.NumGoroutine())
	fmt.Fprintf(w, "go_sched_gomaxprocs_threads %d\n", runtime.GOMAXPROCS(0))
	fmt.Fprintf(w, "process_cpu_seconds_total %f\n", cpu)
	if samples[0].Value.Kind() == metrics.KindFloat64 {
		fmt.Fprintf(w, "go_sync_mutex_wait_total_seconds_total %f\n", samples[0].Value.Float64())
	}
	if samples[1].Value.Kind() == metrics.KindUint64 {
		fmt.Fprintf(w, "go_sched_goroutines_created_goroutines_total %d\n", samples[1].Value.Uint64())
	}
	for _, c := range counters {
		fmt.Fprintf(w, "%s %d\n", c.name, c.value.Load())
	}
}
