package app

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ansim/test/pipe"
)

// inMemory serves a handler under the limits of production until the test ends.
func inMemory(t *testing.T, handler http.HandlerFunc) *pipe.Listener {
	t.Helper()
	return pipe.Serve(t, newServer(handler, serverLimits, slog.New(slog.DiscardHandler)))
}

// reads answers when it has the body.
func reads(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusRequestTimeout)
		return
	}
	_, _ = io.WriteString(w, "ok")
}

type dial func(ctx context.Context, network, addr string) (net.Conn, error)

// says connects and sends text.
func says(t *testing.T, to dial, text string) net.Conn {
	t.Helper()
	conn, err := to(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Clients that hold on to a connection without using it are thrown out, each in its time, and others are served meanwhile.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says, answer string
		after        time.Duration
	}{
		"nothing":      {"", "", serverLimits.header},
		"slow header":  {"GET / HT", "", serverLimits.header},
		"header drips": {"GET / HTTP/1.1\r\nHost: a\r\nX: ", "", serverLimits.header},
		"slow body":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{", "HTTP/1.1 408", serverLimits.read},
		"idle after":   {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200", serverLimits.idle},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := inMemory(t, reads)
				began := time.Now()
				var hostile sync.WaitGroup
				for range 50 {
					conn := says(t, server.Dial, c.says)
					hostile.Go(func() {
						got, err := io.ReadAll(conn) // returns when we are thrown out
						if err != nil || !strings.HasPrefix(string(got), c.answer) {
							t.Errorf("answered %q, %v", got, err)
						}
						// The server waits for half a second until it closes for good what it answered with an error.
						if took := time.Since(began); took < c.after || took > c.after+time.Second {
							t.Errorf("thrown out after %s, want %s", took, c.after)
						}
					})
				}
				ok(t, server.Dial)
				hostile.Wait()
				ok(t, server.Dial)
			})
		})
	}
}

// A client that asks for much and reads nothing is given up, and its handler ends.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		server := inMemory(t, func(w http.ResponseWriter, _ *http.Request) {
			for { // more than any buffer on the way takes
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					ended <- err
					return
				}
			}
		})
		began := time.Now()
		says(t, server.Dial, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if err := <-ended; err == nil || time.Since(began) != serverLimits.write {
			t.Errorf("given up after %s: %v", time.Since(began), err)
		}
	})
}

func TestHugeHeader(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(http.HandlerFunc(reads), serverLimits, slog.New(slog.DiscardHandler))
	server.Start()
	t.Cleanup(server.Close)
	there := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	conn := says(t, there, "GET / HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("a", 64<<10)+"\r\n\r\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "431") {
		t.Errorf("%q, %v", line, err)
	}
	ok(t, there)
}

// ok asks as a well-behaved client does.
func ok(t *testing.T, to dial) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://server.test/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: to}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || string(body) != "ok" {
		t.Errorf("%d %q %v", res.StatusCode, body, err)
	}
}
