package sandbox

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLinesShareOneWrite: a line that comes alone is written at once, and those that come while that is under way go
// together in the next write.
func TestLinesShareOneWrite(t *testing.T) {
	t.Parallel()
	sizes, goOn := make(chan int), make(chan struct{})
	j := newJournal(nil, 0, false, func(ms []*message) {
		sizes <- len(ms)
		<-goOn
	})
	add := func() *group {
		g, err := j.add(&message{}, func(dst []byte) []byte { return append(dst, "line\n"...) })
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	first := add()
	if got := <-sizes; got != 1 { // nothing else was needed
		t.Fatalf("%d lines in the first write", got)
	}
	second := add()
	for range 99 {
		if g := add(); g != second || g == first {
			t.Fatal("a line that came meanwhile has a write of its own")
		}
	}
	select {
	case <-first.done:
		t.Error("answered before it was written")
	default:
	}
	goOn <- struct{}{}
	<-first.done
	if got := <-sizes; got != 100 {
		t.Errorf("%d lines in the second write", got)
	}
	goOn <- struct{}{}
	if err := j.close(); err != nil {
		t.Error(err)
	}
	if _, err := j.add(nil, nil); err == nil {
		t.Error("a closed journal took a line")
	}
}

// TestCalendarKeepsTicksTogether: what is due within a tick comes at once, nothing comes early, and order is kept.
func TestCalendarKeepsTicksTogether(t *testing.T) {
	t.Parallel()
	c := newCalendar()
	zero := time.UnixMilli(1_800_000_000_000)
	js := make([]*journey, 5)
	var firsts []bool
	for i, at := range []time.Duration{5500, 5100, 1000, 5000, 7000} { // in microseconds
		js[i] = &journey{}
		firsts = append(firsts, c.add(zero.Add(at*time.Microsecond), appointment{j: js[i]}))
	}
	if diff := cmp.Diff([]bool{true, false, true, false, false}, firsts); diff != "" {
		t.Error(diff)
	}
	var got []string
	for _, now := range []time.Duration{0, 1, 1, 5, 5, 6, 6, 9, 9} { // in milliseconds
		due, pause := c.due(zero.Add(now * time.Millisecond))
		line := fmt.Sprint(now, " wait ", pause, ":")
		for _, a := range due {
			line += fmt.Sprint(" ", slices.Index(js, a.j))
		}
		got = append(got, line)
	}
	want := []string{"0s wait 1ms:", "1ns wait 0s: 2", "1ns wait 4ms:", "5ns wait 0s: 3", "5ns wait 1ms:", "6ns wait 0s: 0 1", "6ns wait 1ms:",
		"9ns wait 0s: 4", "9ns wait 1h0m0s:"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestPosterKeepsAndClosesLines: one that is free is used again, one that rested too long is closed, and nothing is
// open after the end.
func TestPosterKeepsAndClosesLines(t *testing.T) {
	t.Parallel()
	serve := func() *target {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
		t.Cleanup(s.Close)
		to, err := parseTarget(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		return &to
	}
	p := newPoster(t.Context(), 10*time.Second)
	one, other := serve(), serve()
	post := func(to *target) {
		t.Helper()
		w := newWriter("token")
		if v := p.post(to, w.request(to, &message{Entry: Entry{SID: "SM1"}}, call{status: Sent})); v != taken {
			t.Fatalf("verdict %d", v)
		}
	}
	post(one)
	post(one)
	if len(p.lines) != 1 {
		t.Errorf("%d lines for one receiver after another", len(p.lines))
	}
	var first *line
	for first = range p.lines {
		first.used = first.used.Add(-time.Second)
	}
	post(one)
	if _, kept := p.lines[first]; !kept && runtime.GOOS != "windows" {
		t.Error("a line that rested was given up although its other end is there")
	}
	for l := range p.lines {
		l.used = l.used.Add(-idleLimit)
	}
	post(other)
	if len(p.lines) != 1 || len(p.idle["http "+other.host]) != 1 || len(p.idle) != 1 {
		t.Errorf("%d lines, %v", len(p.lines), p.idle)
	}
	p.close()
	if v := p.post(other, nil); v != unmade || len(p.lines) != 0 {
		t.Errorf("verdict %d after the end, %d lines", v, len(p.lines))
	}
}

// TestSecureTargetsAreChecked: a receiver whose certificate nobody vouches for is one to which no connection can be made.
func TestSecureTargetsAreChecked(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	to, err := parseTarget(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := newPoster(t.Context(), 10*time.Second)
	defer p.close()
	if v := p.post(&to, []byte("POST / HTTP/1.1\r\n\r\n")); v != unmade {
		t.Errorf("verdict %d", v)
	}
}

// TestRestedConnections: one that the receiver closed while it rested costs no callback.
func TestRestedConnections(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	wg.Go(func() { // promises by its silence to keep the connection, and closes it
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
			}
			conn.Close()
		}
	})
	to, err := parseTarget("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p, w := newPoster(t.Context(), 10*time.Second), newWriter("token")
	defer p.close()
	for i := range 3 {
		if v := p.post(&to, w.request(&to, &message{Entry: Entry{SID: "SM1"}}, call{status: Sent})); v != taken || len(p.lines) != 1 {
			t.Fatalf("callback %d: verdict %d, %d lines", i, v, len(p.lines))
		}
		for line := range p.lines { // it rests until its other end has hung up
			for line.used = line.used.Add(-restful); line.alive(); {
				runtime.Gosched()
			}
		}
	}
}
