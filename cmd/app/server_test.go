package app

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// short are limits under which a hostile client is thrown out while the test watches.
var short = limits{header: 50 * time.Millisecond, read: 100 * time.Millisecond, write: 200 * time.Millisecond, idle: 50 * time.Millisecond, bytes: 16 << 10}

// listening serves a handler that reads the body and answers.
func listening(t *testing.T, l limits) string {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
			return
		}
		_, _ = io.WriteString(w, "ok")
	})
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(handler, l, slog.New(slog.DiscardHandler))
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// says connects and sends text.
func says(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", addr)
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
	for name, c := range map[string]struct{ says, answer string }{
		"nothing":      {"", ""},
		"slow header":  {"GET / HT", ""},
		"header drips": {"GET / HTTP/1.1\r\nHost: a\r\nX: ", ""},
		"slow body":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{", "HTTP/1.1 408"},
		"idle after":   {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := listening(t, short)
			hostile := make([]net.Conn, 50)
			for i := range hostile {
				hostile[i] = says(t, addr, c.says)
			}
			ok(t, addr)
			for _, conn := range hostile {
				got, err := io.ReadAll(conn) // returns when we are thrown out
				if err != nil && !strings.Contains(err.Error(), "reset") {
					t.Error(err)
				}
				if !strings.HasPrefix(string(got), c.answer) {
					t.Errorf("answered %q", got)
				}
			}
			ok(t, addr)
		})
	}
}

// A client that asks for much and reads nothing is given up, and its handler ends.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for { // more than any buffer on the way takes
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				ended <- err
				return
			}
		}
	})
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(handler, short, slog.New(slog.DiscardHandler))
	server.Start()
	defer server.Close()
	says(t, server.Listener.Addr().String(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if err := <-ended; err == nil {
		t.Error("it could write without end")
	}
}

func TestHugeHeader(t *testing.T) {
	t.Parallel()
	addr := listening(t, serverLimits)
	conn := says(t, addr, "GET / HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("a", 64<<10)+"\r\n\r\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "431") {
		t.Errorf("%q, %v", line, err)
	}
	ok(t, addr)
}

// ok asks as a well-behaved client does.
func ok(t *testing.T, addr string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || string(body) != "ok" {
		t.Errorf("%d %q %v", res.StatusCode, body, err)
	}
}
