package twilio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	twilioclient "github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"ansim/schema/sabotage"
)

// How much of an answer's body is read. Twilio's about one text are below 15 kB, whatever is in it (1,600 characters of six
// bytes each), and its lists of 50 below 750 kB. A longer one is not read on: its connection is closed.
const (
	maxText = 64 << 10
	maxList = 1 << 20
)

var (
	errRepeated  = errors.New("the library tried to send the request twice")
	errElsewhere = errors.New("the library wanted to ask another host")
	errKept      = errors.New("the answer is in the record")
	errTooLarge  = errors.New("answer too large")
	errSwitched  = errors.New("the server changed to another protocol")
)

// record is what one request showed.
type record struct {
	written bool
	status  int // 0: no answer
	header  http.Header
	body    []byte
	bodyErr error // the body could not be read to its end
	err     error // why there is no answer
}

// recorder is the client beneath twilio-go for one call. It carries the call's context, which twilio-go does not know, asks our
// base URL, sends at most one request, and keeps what was seen. The library gets no answer: what it would make of it is less
// than the record, and costs as much as the request.
type recorder struct {
	provider *Provider
	ctx      context.Context
	limit    int // of the answer's body, in bytes
	used     bool
	record
}

var _ twilioclient.BaseClient = (*recorder)(nil)

func (p *Provider) recorder(ctx context.Context, limit int) *recorder {
	return &recorder{provider: p, ctx: ctx, limit: limit}
}

// service is twilio-go over the recorder. The handler is made by hand, because its constructor reads the environment.
func (r *recorder) service() *api.ApiService {
	return api.NewApiService(&twilioclient.RequestHandler{Client: r})
}

// AccountSid implements twilioclient.BaseClient.
func (r *recorder) AccountSid() string { return r.provider.account }

// SetTimeout implements twilioclient.BaseClient. The call's context is what ends it.
func (r *recorder) SetTimeout(time.Duration) {}

// SetOauth implements twilioclient.BaseClient. The auth token is the only way in.
func (r *recorder) SetOauth(twilioclient.OAuth) {}

// OAuth implements twilioclient.BaseClient.
func (r *recorder) OAuth() twilioclient.OAuth { return nil }

// SendRequest implements twilioclient.BaseClient. It always returns an error: see recorder.
//
// The headers are ours alone. With an Idempotency-Key among them Go's transport would take a POST for harmless, and send it
// again when a reused connection died; without GetBody it cannot.
func (r *recorder) SendRequest(method, rawURL string, data url.Values, _ map[string]any, _ ...byte) (*http.Response, error) {
	if r.used {
		return nil, errRepeated
	}
	r.used = true
	path, ours := strings.CutPrefix(rawURL, DefaultBaseURL)
	if !ours {
		r.err = errElsewhere
		return nil, r.err
	}
	target := *r.provider.base
	target.Path += path
	req := &http.Request{Method: method, URL: &target, Header: r.provider.header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	form := data.Encode()
	if method != http.MethodPost {
		target.RawQuery, form = form, ""
	}
	for !r.exchange(req, form) { // nothing was written, and the connection is gone
	}
	return nil, errKept
}

// exchange makes the request, with form as its body unless that is empty, and fills the record; false when it was given a
// connection that has been unused for too long, so that nothing of the request was written.
func (r *recorder) exchange(req *http.Request, form string) (done bool) {
	if form != "" {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(form)), int64(len(form))
	}
	g := &gate{ctx: r.ctx}
	foreign := false // a connection without a gate: nothing can be proved
	stale := false
	resp, err := r.provider.next.RoundTrip(req.WithContext(httptrace.WithClientTrace(r.ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			c := ungated(info.Conn)
			if c == nil {
				foreign = true
				return
			}
			if c.take(g) && info.WasIdle && info.IdleTime > maxUnused {
				stale = !g.seal() // the transport closes a connection that it cannot write to
			}
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { sabotage.Point("sender.after_write") },
	})))
	r.written = g.seal() || foreign
	if err != nil && stale && !r.written && r.ctx.Err() == nil {
		return false
	}
	if err != nil {
		r.err = err
		return true
	}
	r.status, r.header = resp.StatusCode, resp.Header
	r.body, r.bodyErr = readBody(resp, r.limit)
	return true
}

// readBody reads a body to its end, or up to limit, and closes it. That of a 101 is the connection itself, which no deadline
// ends any more, so it is not read.
func readBody(resp *http.Response, limit int) ([]byte, error) {
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return nil, errSwitched
	case resp.ContentLength > int64(limit):
		return nil, errTooLarge
	case resp.ContentLength >= 0:
		body := make([]byte, resp.ContentLength)
		if _, err := io.ReadFull(resp.Body, body); err != nil {
			return nil, err
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if len(body) > limit {
		return nil, errTooLarge
	}
	return body, err
}
