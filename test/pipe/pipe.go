// Package pipe joins the clients and the server of a test in memory. It is for a bubble (testing/synctest), which the network's own
// connections leave: its time stands still while anybody has something to do, so that no limit passes because the machine is slow.
package pipe

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Listener takes what its Dial connects.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Serve lets a server take connections until the test ends.
func Serve(t testing.TB, server *http.Server) *Listener {
	t.Helper()
	l := &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return l
}

// Dial connects to the server, whatever the address.
func (l *Listener) Dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Accept is the server's: it waits for the next connection, and fails with net.ErrClosed once the listener is closed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and Dial.
func (l *Listener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

// Addr is no address, since there is none.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{} }
