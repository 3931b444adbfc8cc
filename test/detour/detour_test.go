package detour

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"ansim/test/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// echo answers each byte with the next one, until the connection ends, and tells what it read.
func echo(t *testing.T) (addr string, read <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 100)
			n, _ := c.Read(buf)
			got <- string(buf[:n])
			_, _ = c.Write([]byte("answer"))
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), got
}

// What matters of a cut is on which side of the server's reading it happens.
func TestDetour(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		way    Way
		server string // what the server read
		client string // what the client read
	}{
		{Pass, "question", "answer"},
		{Slow, "question", "answer"},
		{Refuse, "", ""},
		{CutRequest, "ques", ""},
		{CutAnswer, "question", ""},
	} {
		t.Run(string(c.way), func(t *testing.T) {
			t.Parallel()
			upstream, read := echo(t)
			d, err := Open(upstream)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			d.Set(c.way, 1)
			conn, err := net.Dial("tcp", d.Addr())
			if errors.Is(err, syscall.ECONNRESET) && c.way == Refuse {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			_, werr := conn.Write([]byte("question"))
			buf := make([]byte, 100)
			n, err := conn.Read(buf)
			if got := string(buf[:n]); got != c.client {
				t.Errorf("the client read %q, want %q", got, c.client)
			}
			if c.client == "" && err == nil && werr == nil {
				t.Error("the client's connection still stands")
			}
			if c.server != "" {
				if got := <-read; got != c.server {
					t.Errorf("the server read %q, want %q", got, c.server)
				}
			}
		})
	}
}

func TestDetourHangsAndGoesOn(t *testing.T) {
	t.Parallel()
	upstream, read := echo(t)
	d, err := Open(upstream)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	conn, err := net.Dial("tcp", d.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d.Set(Hang, 1)
	if _, err := conn.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("while it hangs: %v", err)
	}
	d.Set(Pass, 1)
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	if err != nil || string(buf[:n]) != "answer" || <-read != "question" {
		t.Errorf("afterwards: %q, %v", buf[:n], err)
	}
}
