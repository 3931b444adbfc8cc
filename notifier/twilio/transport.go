package twilio

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"
)

// maxAnswer is how much of an answer's body is read. Twilio's are below 2 kB, its lists of 50 below 60 kB.
const maxAnswer = 1 << 20

var (
	errSealed   = errors.New("the request was given up before it was written")
	errRepeated = errors.New("the library tried to send the request twice")
)

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
	gate atomic.Pointer[gate]
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

// record is what one request showed.
type record struct {
	written bool
	status  int // 0: no answer
	header  http.Header
	body    []byte
	bodyErr error // the body could not be read to its end
	err     error // why there is no answer
}

var errTooLarge = errors.New("answer too large")

// recorder is the http.RoundTripper of one call: it carries the call's context under twilio-go, which has none, points
// the request at our base URL, and keeps what was seen.
type recorder struct {
	ctx  context.Context
	base *url.URL
	next http.RoundTripper
	used bool
	record
}

// RoundTrip implements http.RoundTripper. The answer that it returns holds the bytes that it has read.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.used {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, errRepeated
	}
	r.used = true
	g := &gate{ctx: r.ctx}
	foreign := false // a connection without a gate: nothing can be proved
	out := req.Clone(httptrace.WithClientTrace(r.ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if c := ungated(info.Conn); c != nil {
				c.gate.Store(g)
			} else {
				foreign = true
			}
		},
	}))
	out.URL.Scheme, out.URL.Host, out.Host = r.base.Scheme, r.base.Host, ""
	out.URL.Path, out.URL.RawPath = r.base.Path+req.URL.Path, ""
	// Without GetBody, Go's transport cannot send a request again whose reused connection died; with one of these headers
	// it would take it for harmless.
	out.GetBody = nil
	out.Header.Del("Idempotency-Key")
	out.Header.Del("X-Idempotency-Key")

	resp, err := r.next.RoundTrip(out)
	r.written = g.seal() || foreign
	if err != nil {
		r.err = err
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	r.status, r.header = resp.StatusCode, resp.Header
	r.body, r.bodyErr = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if len(r.body) > maxAnswer {
		r.body, r.bodyErr = nil, errTooLarge
	}
	resp.Body = io.NopCloser(bytes.NewReader(r.body))
	return resp, nil
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
