// Package detour is a TCP proxy that can be told to fail. It is ours, since what has to be exact in a test is whether the server
// got the request when the connection broke: the proxies that can be had cut by time or by bytes.
package detour

import (
	"net"
	"sync"
	"time"
)

// A Way is how a detour treats what passes it.
type Way string

// The ways.
const (
	Pass       Way = "pass"
	Refuse     Way = "refuse"      // connections are reset as soon as they are made, and those that are there at once
	CutRequest Way = "cut-request" // the first half of what the client writes goes through, then the connection is reset
	CutAnswer  Way = "cut-answer"  // what the server answers is thrown away, and the connection reset: it happened, nobody hears of it
	Hang       Way = "hang"        // nothing passes any more, and nothing ends
	Slow       Way = "slow"        // everything is later by a moment
)

// slowness is how much later.
const slowness = 120 * time.Millisecond

// Detour is a proxy that listens on loopback.
type Detour struct {
	listener net.Listener
	upstream string

	mu      sync.Mutex
	is      Way
	every   int           // only each n-th write is cut
	writes  int           // since is was set, in the direction that it cuts
	changed chan struct{} // closed when is changes
	pairs   map[*pair]bool
	closed  bool
}

// pair is a connection of a client and the one that it leads to.
type pair struct{ client, server net.Conn }

func (p *pair) reset() {
	for _, c := range []net.Conn{p.client, p.server} {
		if t, ok := c.(*net.TCPConn); ok && t != nil {
			_ = t.SetLinger(0)
			_ = t.Close()
		}
	}
}

// Open starts a detour to upstream, host:port. Close it.
func Open(upstream string) (*Detour, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &Detour{listener: l, upstream: upstream, is: Pass, changed: make(chan struct{}), pairs: map[*pair]bool{}}
	go d.accept()
	return d, nil
}

// Addr is where it listens.
func (d *Detour) Addr() string { return d.listener.Addr().String() }

// Lead sends new connections elsewhere.
func (d *Detour) Lead(upstream string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.upstream = upstream
}

// Set changes the way; every is for those that cut: only each so manieth write is.
func (d *Detour) Set(w Way, every int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.is, d.every, d.writes = w, max(1, every), 0
	close(d.changed)
	d.changed = make(chan struct{})
	if w == Refuse {
		for p := range d.pairs {
			p.reset()
		}
	}
}

// Close ends it, and all connections.
func (d *Detour) Close() {
	_ = d.listener.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for p := range d.pairs {
		p.reset()
	}
}

func (d *Detour) accept() {
	for {
		c, err := d.listener.Accept()
		if err != nil {
			return
		}
		go d.carry(c)
	}
}

func (d *Detour) carry(client net.Conn) {
	d.mu.Lock()
	is, to := d.is, d.upstream
	d.mu.Unlock()
	p := &pair{client: client}
	if is == Refuse {
		p.reset()
		return
	}
	server, err := net.DialTimeout("tcp", to, 5*time.Second)
	if err != nil {
		p.reset()
		return
	}
	p.server = server
	d.mu.Lock()
	if d.closed || d.is == Refuse {
		d.mu.Unlock()
		p.reset()
		return
	}
	d.pairs[p] = true
	d.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { d.copy(p, client, server, false) })
	both.Go(func() { d.copy(p, server, client, true) })
	both.Wait()
	d.mu.Lock()
	delete(d.pairs, p)
	d.mu.Unlock()
	_ = client.Close()
	_ = server.Close()
}

// copy carries what from writes to its other end, as the way allows.
func (d *Detour) copy(p *pair, from, to net.Conn, answers bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			keep, ok := d.gate(p, n, answers)
			if keep > 0 {
				if _, err := to.Write(buf[:keep]); err != nil {
					ok = false
				}
			}
			if !ok {
				p.reset()
				return
			}
		}
		if err != nil {
			if t, ok := to.(*net.TCPConn); ok {
				_ = t.CloseWrite()
			}
			return
		}
	}
}

// gate says how much of n bytes passes, and whether the connection lives on. It waits while the way is to hang.
func (d *Detour) gate(p *pair, n int, answers bool) (keep int, ok bool) {
	for {
		d.mu.Lock()
		is, changed := d.is, d.changed
		cut := is == CutRequest && !answers || is == CutAnswer && answers
		if cut {
			d.writes++
			cut = d.writes%d.every == 0
		}
		known := d.pairs[p]
		if cut {
			delete(d.pairs, p) // no answer to the half of a request comes through either
		}
		d.mu.Unlock()
		switch {
		case !known || is == Refuse:
			return 0, false
		case cut && is == CutRequest:
			return n / 2, false
		case cut:
			return 0, false
		case is == Hang:
			<-changed
			continue
		case is == Slow:
			time.Sleep(slowness)
		}
		return n, true
	}
}
