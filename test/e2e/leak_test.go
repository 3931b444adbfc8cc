package e2e

import (
	"fmt"
	"net"
	"testing"
	"time"

	kafkatest "ansim/test/kafka"
)

// usage is what a process holds.
type usage struct{ goroutines, files, memory float64 }

func (in *installation) usage(p *process) usage {
	in.t.Helper()
	return usage{in.metric(p, "go_goroutines"), in.metric(p, "process_open_fds"), in.metric(p, "go_memstats_heap_alloc_bytes")}
}

// Of what a process holds, so much may be more after a storm than before: idle connections of pools that the first, small storm
// did not fill, and what Go has not collected yet.
const (
	moreGoroutines = 40
	moreFiles      = 40
	moreMemory     = 160 << 20
)

// TestNothingIsLeftBehind lets a small storm fill the pools, then a larger one pass, with clients that break off, clients that
// say nothing, and answers that get lost: afterwards a process holds what it held before (I15).
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) *installation{
		"sqlite":   embedded,
		"postgres": func(t testing.TB) *installation { return onServers(t, kafkatest.Start(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := open(t)
			p := in.serve(all)
			in.prepare()
			small := in.crowdOf(401, people(300), 3)
			small.start(time.Minute)()
			in.everybodyKnows(time.Minute, small)
			before := in.usage(p)

			silent := make([]net.Conn, 0, 200)
			for range cap(silent) {
				c, err := net.Dial("tcp", p.addr())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				silent = append(silent, c)
			}
			for i, c := range silent {
				if i%2 == 0 { // the others say nothing at all
					_, _ = c.Write([]byte("POST /v1/reservations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"))
				}
			}
			in.fault(`[{"match":{"every":7},"happen":"yes","answer":"drop"},{"match":{"every":5},"happen":"yes","answer":"500"}]`)
			large := in.crowdOf(402, people(1500), 3)
			large.start(2 * time.Minute)()
			in.fault(`[]`)
			for _, c := range silent {
				_ = c.Close()
			}
			in.everybodyKnows(2*time.Minute, small, large)
			in.client.CloseIdleConnections()
			await(t, time.Minute, "it holds what it held before", func() error {
				after := in.usage(p)
				if after.goroutines > before.goroutines+moreGoroutines || after.files > before.files+moreFiles || after.memory > before.memory+moreMemory {
					return fmt.Errorf("%w: before %+v, after %+v", errNotYet, before, after)
				}
				t.Logf("before %+v, after %+v", before, after)
				return nil
			})
			if name == "postgres" {
				in.connectionsAreBounded()
			}
		})
	}
}

// connectionsAreBounded: a process has a pool to write and one to read, of 16 connections each, and no others.
func (in *installation) connectionsAreBounded() {
	in.t.Helper()
	n := in.number(`SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ansim'
		AND pid <> pg_backend_pid()`)
	if n > 34 { // with one of the test's own
		in.t.Errorf("%d connections to the database", n)
	}
}
