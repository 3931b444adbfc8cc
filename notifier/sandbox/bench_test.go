//go:build unix

package sandbox_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ansim/notifier/sandbox"
)

// The clients and the receiver of these benchmarks are written for little work, so that the figures are the sandbox's:
// prepared bytes out, and no more of the answer read than where it ends.

// BenchmarkCreate is 64 clients that send one text after the other, each fsynced before its answer; no text goes on its way.
func BenchmarkCreate(b *testing.B) {
	benchmark(b, false)
}

// BenchmarkCreateWithCallbacks is the same with quick phones: three callbacks for each text, of which all have come at the end.
func BenchmarkCreateWithCallbacks(b *testing.B) {
	benchmark(b, true)
}

func benchmark(b *testing.B, callbacks bool) {
	o := sandbox.Options{Data: b.TempDir(), CallbackWorkers: 64}
	if !callbacks {
		o.SentAfter = [2]time.Duration{time.Hour, time.Hour + 1}
		o.DeliveredAfter = o.SentAfter
	}
	n := start(b, o)
	var rec *sink
	target := ""
	if callbacks {
		rec = newSink(b)
		target = rec.url()
	}
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ReportAllocs()
	b.ResetTimer()
	send(b, n, 64, b.N, target)
	if callbacks {
		rec.wait(b, n, int64(3*b.N))
	}
	b.StopTimer()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "texts/s")
}

// wired is a network with what a prepared request to it says.
type wired struct {
	*network
	path, basic string
}

// send has clients send n texts in all, each to a number of its own.
func send(t testing.TB, n *network, clients, count int, callback string) {
	req := n.request(t, http.MethodPost, n.url("/Messages.json"), nil)
	to := &wired{n, req.URL.Path, req.Header.Get("Authorization")}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			conn, err := net.Dial("tcp", n.http.Listener.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			var out []byte
			for {
				i := next.Add(1)
				if i > int64(count) {
					return
				}
				out = wireText(out, to, i, callback)
				if _, err := conn.Write(out); err != nil {
					t.Error(err)
					return
				}
				if code, err := skipMessage(in); err != nil || code != http.StatusCreated {
					t.Errorf("status %d, %v", code, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// wireText adds a request for a text as it travels to out.
func wireText(out []byte, n *wired, i int64, callback string) []byte {
	const mark = "00000000000000000000000000000000"
	form := "Body=%5B%EB%B0%B1%EC%8B%A0%EC%98%88%EC%95%BD%5D+%ED%99%8D%EA%B8%B8%EB%8F%99%EB%8B%98+%EC%98%88%EC%95%BD%EC%99%84%EB%A3%8C" +
		"%0A7%2F26%28%EC%9B%94%2910%3A30+%EA%B0%95%EB%82%A8%EA%B5%AC%EB%B3%B4%EA%B1%B4%EC%86%8C%0A%EB%B2%88%ED%98%B8+K7Q29-3TX4M" +
		"&From=%2B15005550006&To=%2B8210"
	length := len(form) + 8
	if callback != "" {
		length += len("&StatusCallback=") + len(callback) + len(mark)
	}
	out = append(append(append(out[:0], "POST "...), n.path...), " HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: "...)
	out = append(append(out, n.basic...), "\r\nContent-Type: application/x-www-form-urlencoded\r\nUser-Agent: twilio-go\r\nAccept: application/json\r\nContent-Length: "...)
	out = append(append(strconv.AppendInt(out, int64(length), 10), "\r\n\r\n"...), form...)
	out = strconv.AppendInt(out, 20_000_000+i, 10)
	if callback != "" {
		digits := strconv.AppendInt(nil, i, 16)
		out = append(append(append(append(out, "&StatusCallback="...), callback...), mark[len(digits):]...), digits...)
	}
	return out
}

// skipMessage reads one HTTP message up to its end and gives the status of a response, 0 for a request.
func skipMessage(in *bufio.Reader) (int, error) {
	first, err := in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	var code int
	if bytes.HasPrefix(first, []byte("HTTP/1.1 ")) {
		code, _ = strconv.Atoi(string(first[9:12]))
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) == 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
		if bytes.HasPrefix(line, []byte("Transfer-Encoding")) {
			return 0, io.ErrUnexpectedEOF // neither the sandbox nor these clients send in chunks
		}
	}
	_, err = in.Discard(length)
	return code, err
}

// sink takes callbacks and says 204 to each.
type sink struct {
	addr string
	got  atomic.Int64
	more chan struct{}
}

func newSink(t testing.TB) *sink {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{addr: l.Addr().String(), more: make(chan struct{}, 1)}
	var mu sync.Mutex
	var conns []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

// url is where the callbacks go, but for the token.
func (s *sink) url() string { return "http://" + s.addr + "/v1/providers/twilio/status/" }

func (s *sink) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		if _, err := skipMessage(in); err != nil {
			return
		}
		s.got.Add(1)
		select {
		case s.more <- struct{}{}:
		default:
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
			return
		}
	}
}

func (s *sink) wait(t testing.TB, net *network, n int64) {
	t.Helper()
	patience := time.After(time.Minute)
	for s.got.Load() < n {
		select {
		case <-s.more:
		case <-patience:
			t.Fatalf("%d callbacks came, %d wanted; %+v", s.got.Load(), n, net.Stats())
		}
	}
}

// BenchmarkMemory is what a text costs for as long as the network lives: B/text, after all of its callbacks.
func BenchmarkMemory(b *testing.B) {
	rec := newSink(b)
	n := start(b, sandbox.Options{Data: b.TempDir()})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	b.ResetTimer()
	send(b, n, 64, b.N, rec.url())
	rec.wait(b, n, int64(3*b.N))
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/float64(b.N), "B/text")
	runtime.KeepAlive(n)
}
