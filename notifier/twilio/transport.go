package twilio

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

var errSealed = errors.New("the request was given up before it was written")

// gate knows whether any byte of one request reached its connection. It moves once, from idle either to written, by the
// connection's first write, or to sealed, by the recorder when the request is over; a sealed gate lets nothing be written
// any more. So "nothing was written" stays true after it has been said.
type gate struct {
	ctx   context.Context
	state atomic.Int32
}

const (
	gateIdle int32 = iota
	gateWritten
	gateSealed
)

// enter is asked before each write. The first one looks at the clock again: a process that was frozen must not write a
// request whose deadline, and with it its lease, has passed. The wall clock counts too, since the monotonic one may stand
// still while a machine sleeps.
func (g *gate) enter() error {
	if g.state.Load() == gateIdle {
		deadline, bounded := g.ctx.Deadline()
		if g.ctx.Err() != nil || (bounded && !time.Now().Round(0).Before(deadline.Round(0))) {
			g.state.CompareAndSwap(gateIdle, gateSealed)
		}
		g.state.CompareAndSwap(gateIdle, gateWritten)
	}
	if g.state.Load() == gateSealed {
		return errSealed
	}
	return nil
}

// seal ends the request and reports whether anything was written.
func (g *gate) seal() (written bool) {
	g.state.CompareAndSwap(gateIdle, gateSealed)
	return g.state.Load() == gateWritten
}

// conn asks the gate of the request that uses it before it writes. Under TLS it sees ciphertext: what TLS itself writes
// counts as the request's, which errs towards "written".
type conn struct {
	net.Conn
	gate  atomic.Pointer[gate]
	taken atomic.Bool
}

// take makes the connection that of g's request, and says whether it is the first.
func (c *conn) take(g *gate) (first bool) {
	c.gate.Store(g)
	return !c.taken.Swap(true)
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	if g := c.gate.Load(); g != nil {
		if err := g.enter(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

func gated(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c}, nil
	}
}

// ungated finds the gated connection beneath TLS.
func ungated(c net.Conn) *conn {
	for {
		switch x := c.(type) {
		case *conn:
			return x
		case interface{ NetConn() net.Conn }:
			c = x.NetConn()
		default:
			return nil
		}
	}
}

// maxUnused is how long a connection may have been idle that no request has used yet. The transport opens one for a request
// that then takes another that has just become free, and keeps it. A server closes such a connection earlier than a used one,
// after what it allows for the header of a request, which is seldom below five seconds; a request that met that would be
// unknown, and its text minutes late.
const maxUnused = 2 * time.Second

// maxIdle is how many connections are kept for the next requests: more than a sender has under way at once.
const maxIdle = 1024

// newTransport makes the connections' owner. HTTP/1.1 alone: one request at a time on a connection makes the question
// whether it was written answerable. Requests are bounded by their contexts.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            gated(dialer.DialContext),
		Protocols:              protocols,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        50 * time.Second, // shorter than a load balancer's usual 60 s, so that we close first
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}
}

// word names err in one word that holds nothing of its text: a *url.Error has the URL in it, and a list's URL the number.
func word(err error) string {
	var (
		dns      *net.DNSError
		certs    *tls.CertificateVerificationError
		unknown  x509.UnknownAuthorityError
		host     x509.HostnameError
		header   tls.RecordHeaderError
		alert    tls.AlertError
		op       *net.OpError
		netError net.Error
	)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errTooLarge):
		return "too-large"
	case errors.Is(err, errSwitched):
		return "switched"
	case errors.Is(err, errSealed):
		return "late"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.As(err, &dns):
		return "dns"
	case errors.As(err, &certs), errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &header), errors.As(err, &alert):
		return "tls"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netError) && netError.Timeout():
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "eof"
	case errors.As(err, &op) && op.Op == "dial":
		return "dial"
	default:
		return "broken"
	}
}
