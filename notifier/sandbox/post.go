package sandbox

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// poster sends callbacks over connections that it keeps. It is not net/http's client, whose two goroutines for each
// connection cost more than all else that a callback needs here.
type poster struct {
	ctx     context.Context
	timeout time.Duration
	dialer  *net.Dialer

	mu     sync.Mutex
	idle   map[string][]*line // by scheme and host, the last used last
	lines  map[*line]struct{} // all that are open
	closed bool
}

// line is a connection to a receiver.
type line struct {
	conn  net.Conn
	in    *bufio.Reader
	place string
	used  time.Time // when it was last of use
}

// restful is how long a line may rest and still be used without a look whether its other end is there.
const restful = 10 * time.Millisecond

// idleLimit is how long a line is kept that is of no use.
const idleLimit = 30 * time.Second

// answerLimit bounds what is read of a receiver's answer; a connection whose answer is longer is closed.
const answerLimit = 64 << 10

var (
	errNotLoopback = errors.New("sandbox: callbacks go to this machine only")
	errPosterEnded = errors.New("sandbox: closed")
)

func newPoster(ctx context.Context, timeout time.Duration) *poster {
	return &poster{ctx: ctx, timeout: timeout, dialer: &net.Dialer{Timeout: min(5*time.Second, timeout), Control: onlyLoopback},
		idle: map[string][]*line{}, lines: map[*line]struct{}{}}
}

// onlyLoopback holds also for a name that points elsewhere.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return errNotLoopback
	}
	return nil
}

// post sends a request that is ready, and says how it ended. No redirect is followed.
func (p *poster) post(t *target, request []byte) verdict {
	l, err := p.line(t)
	if err != nil {
		return unmade
	}
	status, again, err := l.exchange(request, p.timeout)
	if err != nil || !again {
		p.drop(l)
	} else {
		p.keep(l)
	}
	switch {
	case err != nil:
		return unheard
	case status >= 500:
		return refused5
	case status >= 400:
		return refused4
	}
	return taken
}

// line gives a connection to a receiver: one that rested, if its other end is still there, or a new one.
func (p *poster) line(t *target) (*line, error) {
	place := "http " + t.host
	if t.secure {
		place = "https " + t.host
	}
	for {
		p.mu.Lock()
		rested := p.idle[place]
		if len(rested) == 0 {
			p.mu.Unlock()
			return p.dial(t, place)
		}
		l := rested[len(rested)-1]
		p.idle[place] = rested[:len(rested)-1]
		p.mu.Unlock()
		if l.alive() {
			return l, nil
		}
		p.drop(l)
	}
}

func (p *poster) dial(t *target, place string) (*line, error) {
	var conn net.Conn
	var err error
	if t.secure {
		conn, err = (&tls.Dialer{NetDialer: p.dialer}).DialContext(p.ctx, "tcp", t.host)
	} else {
		conn, err = p.dialer.DialContext(p.ctx, "tcp", t.host)
	}
	if err != nil {
		return nil, err
	}
	l := &line{conn: conn, in: bufio.NewReader(conn), place: place}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.Join(errPosterEnded, conn.Close())
	}
	p.lines[l] = struct{}{}
	p.tidy()
	return l, nil
}

// tidy closes the lines that have rested too long; p.mu is held.
func (p *poster) tidy() {
	for place, rested := range p.idle {
		for len(rested) > 0 && time.Since(rested[0].used) > idleLimit {
			_ = rested[0].conn.Close()
			delete(p.lines, rested[0])
			rested = rested[1:]
		}
		p.idle[place] = rested
		if len(rested) == 0 {
			delete(p.idle, place)
		}
	}
}

// alive says whether the other end has not hung up while the line rested. It looks only when it rested for a moment: a
// receiver that ends between two callbacks in a row has been told something, and Twilio would not know what, either.
func (l *line) alive() bool {
	if time.Since(l.used) < restful {
		return true
	}
	tcp, plain := l.conn.(*net.TCPConn) // under TLS there may be bytes that are not the receiver's; a new line is certain
	return plain && quiet(tcp)
}

// exchange sends a request and reads the whole answer. again says whether the connection may be used again.
func (l *line) exchange(request []byte, timeout time.Duration) (status int, again bool, err error) {
	if err := l.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return 0, false, err
	}
	if _, err := l.conn.Write(request); err != nil {
		return 0, false, err
	}
	for {
		resp, err := http.ReadResponse(l.in, nil)
		if err != nil {
			return 0, false, err
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue // what comes before the answer
		}
		n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, answerLimit))
		if err != nil {
			return 0, false, err
		}
		l.used = time.Now()
		return resp.StatusCode, n < answerLimit && !resp.Close && l.in.Buffered() == 0, nil
	}
}

func (p *poster) keep(l *line) {
	p.mu.Lock()
	if !p.closed {
		p.idle[l.place] = append(p.idle[l.place], l)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.drop(l)
}

func (p *poster) drop(l *line) {
	p.mu.Lock()
	delete(p.lines, l)
	p.mu.Unlock()
	_ = l.conn.Close()
}

// close ends every connection, also those on which an answer is awaited.
func (p *poster) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for l := range p.lines {
		_ = l.conn.Close()
	}
	clear(p.lines)
	clear(p.idle)
}
