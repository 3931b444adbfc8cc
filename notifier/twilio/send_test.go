package twilio

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/notifier"
)

func http1(status int, headers, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\n%sContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), headers, len(body), body)
}

var (
	created = http1(201, "Content-Type: application/json\r\n", `{"sid": "`+goodSID+`", "status": "queued", "error_code": null}`)
	unknown = func(status int, detail string) notifier.Outcome {
		return notifier.Outcome{Class: notifier.Unknown, HTTPStatus: status, Detail: detail}
	}
	rejected = func(status, code int, d notifier.Disposition) notifier.Outcome {
		return notifier.Outcome{Class: notifier.Rejected, Disposition: d, HTTPStatus: status, Code: code, Detail: "rejected"}
	}
	unlisted = func(status, code int, d notifier.Disposition) notifier.Outcome {
		o := rejected(status, code, d)
		o.Unlisted = true
		return o
	}
	throttled = func(after time.Duration) notifier.Outcome {
		return notifier.Outcome{Class: notifier.NotSent, HTTPStatus: 429, Throttled: true, RetryAfter: after, Detail: "throttled"}
	}
)

func twilioError(status, code int) string {
	return http1(status, "Content-Type: application/json\r\n", fmt.Sprintf(`{"code": %d, "message": "about %s", "more_info": "", "status": %d}`, code, canary, status))
}

// TestOutcomes has a row for each thing that can be seen after the request was written.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string // and then the connection is closed
		want   notifier.Outcome
	}{
		"201":                        {created, notifier.Outcome{Class: notifier.Accepted, SID: goodSID, HTTPStatus: 201}},
		"201 of a picture message":   {strings.Replace(created, goodSID, "MM"+goodSID[2:], 1), notifier.Outcome{Class: notifier.Accepted, SID: "MM" + goodSID[2:], HTTPStatus: 201}},
		"201 chunked":                {"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2d\r\n{\"sid\": \"" + goodSID + "\"}\r\n0\r\n\r\n", notifier.Outcome{Class: notifier.Accepted, SID: goodSID, HTTPStatus: 201}},
		"100, then 201":              {"HTTP/1.1 100 Continue\r\n\r\n" + created, notifier.Outcome{Class: notifier.Accepted, SID: goodSID, HTTPStatus: 201}},
		"201 truncated":              {created[:len(created)-30], unknown(201, "eof")},
		"201 truncated, chunked":     {"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2d\r\n{\"sid\": \"" + goodSID + "\"}\r\n", unknown(201, "eof")},
		"201 without a SID":          {http1(201, "", `{"status": "queued"}`), unknown(201, "no-sid")},
		"201 with another's SID":     {http1(201, "", `{"sid": "CA`+goodSID[2:]+`"}`), unknown(201, "no-sid")},
		"201 with a longer SID":      {http1(201, "", `{"sid": "`+goodSID+`0"}`), unknown(201, "no-sid")},
		"201 with SID and newline":   {http1(201, "", `{"sid": "`+goodSID+`\n"}`), unknown(201, "no-sid")},
		"201 in HTML":                {http1(201, "", "<html>"), unknown(201, "unreadable")},
		"201 and nothing":            {http1(201, "", ""), unknown(201, "unreadable")},
		"200 with a SID":             {strings.Replace(created, "201 Created", "200 OK", 1), unknown(200, "not-created")},
		"302":                        {http1(302, "Location: /2010-04-01/elsewhere\r\n", ""), unknown(302, "redirect")},
		"307":                        {http1(307, "Location: /2010-04-01/elsewhere\r\n", ""), unknown(307, "redirect")},
		"308 without a location":     {http1(308, "", ""), unknown(308, "redirect")},
		"500":                        {http1(500, "", ""), unknown(500, "server-error")},
		"503 in HTML":                {http1(503, "Retry-After: 7\r\nContent-Type: text/html\r\n", "<html><h1>503</h1></html>"), unknown(503, "server-error")},
		"500 with a Twilio code":     {twilioError(500, 20500), notifier.Outcome{Class: notifier.Unknown, HTTPStatus: 500, Code: 20500, Detail: "server-error"}},
		"429":                        {twilioError(429, 20429), with429(throttled(0), 20429)},
		"429 with Retry-After":       {http1(429, "Retry-After: 7\r\n", ""), throttled(7 * time.Second)},
		"429 with a wild header":     {http1(429, "Retry-After: 99999999999\r\n", ""), throttled(15 * time.Minute)},
		"429 in HTML, cut":           {http1(429, "Retry-After: 100000\r\n", "<html></html>")[:80], throttled(15 * time.Minute)},
		"400 of a bad number":        {twilioError(400, 21211), rejected(400, 21211, notifier.Permanent)},
		"400 of an opted-out":        {twilioError(400, 21610), rejected(400, 21610, notifier.OptedOut)},
		"400 of our sender":          {twilioError(400, 21606), rejected(400, 21606, notifier.Configuration)},
		"400 of a full queue":        {twilioError(400, 21611), rejected(400, 21611, notifier.Later)},
		"401":                        {twilioError(401, 20003), rejected(401, 20003, notifier.Configuration)},
		"404":                        {twilioError(404, 20404), rejected(404, 20404, notifier.Configuration)},
		"400 with an unknown code":   {twilioError(400, 21999), unlisted(400, 21999, notifier.Permanent)},
		"401 with an unknown code":   {twilioError(401, 29999), unlisted(401, 29999, notifier.Configuration)},
		"409 with an unknown code":   {twilioError(409, 29999), unlisted(409, 29999, notifier.Later)},
		"400 without a code":         {http1(400, "", `{"message": "bad"}`), unknown(400, "no-code")},
		"400 with a foreign code":    {http1(400, "", `{"code": 400}`), unknown(400, "no-code")},
		"400 with a code in letters": {http1(400, "", `{"code": "E21211"}`), unknown(400, "no-code")},
		"403 of a proxy":             {http1(403, "Content-Type: text/html\r\n", "<html>blocked</html>"), unknown(403, "no-code")},
		"400 cut before its code":    {twilioError(400, 21211)[:100], unknown(400, "eof")},
		"no HTTP":                    {"220 mail.example ESMTP\r\n\r\n", unknown(0, "broken")},
		"half a head":                {"HTTP/1.1 201 Created\r\nContent-Le", unknown(0, "broken")},
		"nothing":                    {"", unknown(0, "eof")},
		"10 MB":                      {http1(201, "", `{"sid": "`+goodSID+`", "x": "`+strings.Repeat("x", 10<<20)+`"}`), unknown(201, "too-large")},
		"10 MB of 400":               {http1(400, "", strings.Repeat(" ", 10<<20)+`{"code": 21211}`), unknown(400, "too-large")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := listen(t, func(n *network, conn net.Conn, r *bufio.Reader) {
				if n.read(r) {
					_, _ = io.WriteString(conn, c.answer)
				}
			})
			got := provider(t, n.url()).Send(short(t, patience), aText())
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if n.count() != 1 {
				t.Errorf("%d requests", n.count())
			}
		})
	}
}

func with429(o notifier.Outcome, code int) notifier.Outcome {
	o.Code = code
	return o
}

// TestBrokenConnections has a row for each way in which a request can end without an answer.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	reset := func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }
	for name, c := range map[string]struct {
		script func(n *network, c net.Conn, r *bufio.Reader)
		want   notifier.Outcome
	}{
		"closed after some bytes": {func(_ *network, _ net.Conn, r *bufio.Reader) { _, _ = r.Peek(10) }, unknown(0, "*")},
		"reset after some bytes":  {func(_ *network, c net.Conn, r *bufio.Reader) { _, _ = r.Peek(10); reset(c) }, unknown(0, "reset")},
		"dropped after reading":   {func(n *network, _ net.Conn, r *bufio.Reader) { n.read(r) }, unknown(0, "eof")},
		"reset after reading":     {func(n *network, c net.Conn, r *bufio.Reader) { n.read(r); reset(c) }, unknown(0, "reset")},
		"accepted, then silence":  {func(n *network, _ net.Conn, r *bufio.Reader) { n.read(r); _, _ = r.ReadByte() }, unknown(0, "timeout")},
		"never read":              {func(_ *network, _ net.Conn, r *bufio.Reader) { _, _ = r.Peek(1); _, _ = io.Copy(io.Discard, r) }, unknown(0, "timeout")},
		"201, a byte at a time": {func(n *network, c net.Conn, r *bufio.Reader) {
			n.read(r)
			_, _ = io.WriteString(c, created[:len(created)-60])
			_, _ = r.ReadByte() // until the other side gives up
		}, unknown(201, "timeout")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			send := func(t *testing.T, p *Provider) {
				got := p.Send(short(t, patience), aText())
				if c.want.Detail == "*" { // an end or a reset, as the kernel has it
					got.Detail = "*"
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			}
			if c.want.Detail == "timeout" { // in a bubble's time, in which it does not come before the request was written
				synctest.Test(t, func(t *testing.T) {
					p := provider(t, "http://provider.test")
					inMemory(p, c.script)
					send(t, p)
				})
				return
			}
			send(t, provider(t, listen(t, c.script).url()))
		})
	}
}

// TestNotWritten has a row for each way in which a request ends before its first byte.
func TestNotWritten(t *testing.T) {
	t.Parallel()
	plain := listen(t, func(_ *network, c net.Conn, r *bufio.Reader) {
		_, _ = r.Peek(1)
		_, _ = io.WriteString(c, "no TLS here\n")
	})
	silent := listen(t, func(_ *network, _ net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
	strange := httptest.NewUnstartedServer(http.NotFoundHandler())
	strange.Config.ErrorLog = log.New(io.Discard, "", 0)
	strange.StartTLS()
	t.Cleanup(strange.Close)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		base   string
		detail string
	}{
		"refused":           {t.Context(), nobody, "refused"},
		"no such host":      {t.Context(), "http://nowhere.invalid", "dns"},
		"no TLS":            {t.Context(), "https://" + plain.Addr().String(), "tls"},
		"unknown authority": {t.Context(), strange.URL, "tls"},
		"TLS that hangs":    {short(t, 200*time.Millisecond), "https://" + silent.Addr().String(), "timeout"},
		"already cancelled": {done, silent.url(), "cancelled"},
		"already too late":  {short(t, -time.Second), silent.url(), "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := provider(t, c.base).Send(c.ctx, aText())
			if diff := cmp.Diff(notifier.Outcome{Class: notifier.NotSent, Detail: c.detail}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestStaleConnection: a server that closes its idle connections when the next request comes never gets a text twice, and a text
// that it may have got is never said to be unsent. (That the connection is used again is sure in a bubble alone: see
// TestConnectionsAfterBadAnswers.)
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := provider(t, "http://provider.test")
		n := inMemory(p, func(n *network, c net.Conn, r *bufio.Reader) {
			if !n.read(r) {
				return
			}
			_, _ = io.WriteString(c, created)
			n.read(r) // the second request on a connection gets no answer: Go calls it "server closed idle connection"
		})
		if got := p.Send(t.Context(), aText()); got.Class != notifier.Accepted {
			t.Fatalf("%+v", got)
		}
		if got := p.Send(t.Context(), aText()); got.Class != notifier.Unknown || got.Detail != "eof" {
			t.Errorf("%+v", got)
		}
		if n.count() != 2 || n.opened.Load() != 1 {
			t.Errorf("%d requests on %d connections, want 2 on 1: a request was repeated", n.count(), n.opened.Load())
		}
	})
}

// TestUnusedConnection: a connection that was opened for a request which then took another, and has been unused for longer than
// servers surely allow, is closed by us before a byte is on it, and the text goes out on one that works. Until then it is used.
//
// It plays in memory and in a bubble's time: only there is it known that the transport has put the connection with its idle
// ones. A text that waits while it does so gets the connection as a new one.
func TestUnusedConnection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		unused time.Duration
		used   bool
	}{
		"as long as allowed": {maxUnused, true},
		"longer":             {maxUnused + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { unusedConnection(t, c.unused, c.used) })
		})
	}
}

func unusedConnection(t *testing.T, unused time.Duration, used bool) {
	p := provider(t, "http://provider.test")
	var got [4]int // texts that came on each connection, the first being 1
	var conns, dials int
	answer, open := make(chan struct{}), make(chan struct{})
	inMemory(p, func(n *network, c net.Conn, r *bufio.Reader) {
		conns++
		for conn := conns; n.read(r); {
			got[conn]++
			if conn == 2 && !used {
				return // the server has had enough of it, and answers nothing
			}
			<-answer
			_, _ = io.WriteString(c, created)
		}
	})
	dial := p.transport.DialContext
	p.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials++; dials == 2 {
			<-open
		}
		return dial(ctx, network, addr)
	}
	outcomes := make(chan notifier.Outcome, 2)
	send := func() {
		go func() { outcomes <- p.Send(t.Context(), aText()) }()
		synctest.Wait()
	}
	accepted := func() {
		t.Helper()
		select {
		case answer <- struct{}{}:
		case o := <-outcomes: // nobody is to be answered
			t.Fatalf("%+v", o)
		}
		if o := <-outcomes; o.Class != notifier.Accepted {
			t.Fatalf("%+v", o)
		}
	}

	send() // the first connection is the first text's
	send() // the second text has nothing to go on yet, and takes the first connection as soon as that is free
	accepted()
	accepted()
	close(open) // the second connection comes, and nobody wants it
	synctest.Wait()
	<-time.After(unused)
	send() // the transport takes what became idle last: the second connection
	send()
	accepted()
	accepted()

	want := [4]int{1: 3, 2: 1}
	if !used {
		want = [4]int{1: 3, 3: 1}
	}
	if got != want {
		t.Errorf("texts on each connection: %v, want %v", got[1:], want[1:])
	}
}

// TestDeadIdleConnections hammers a server that closes each connection right after its answer: what we call accepted or
// unknown it got once, what we call not sent it never got.
func TestDeadIdleConnections(t *testing.T) {
	t.Parallel()
	n := listen(t, func(n *network, c net.Conn, r *bufio.Reader) {
		if n.read(r) {
			_, _ = io.WriteString(c, created) // keep-alive is promised, and broken
		}
	})
	p := provider(t, n.url())
	classes := map[notifier.Class]int{}
	for range 300 {
		classes[p.Send(t.Context(), aText()).Class]++
	}
	got, sent := n.count(), classes[notifier.Accepted]
	if got < sent || got > sent+classes[notifier.Unknown] || classes[notifier.Rejected] > 0 {
		t.Errorf("the server got %d; we say %v", got, classes)
	}
}

func TestAcceptedOverTLS(t *testing.T) {
	t.Parallel()
	var got atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("%s", r.Proto)
		}
		if got.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"sid": "`+goodSID+`"}`)
	}))
	t.Cleanup(s.Close)
	p := provider(t, s.URL)
	p.transport.TLSClientConfig = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	for i, want := range []notifier.Class{notifier.Accepted, notifier.Unknown, notifier.Accepted} {
		if o := p.Send(t.Context(), aText()); o.Class != want {
			t.Errorf("%d: %+v", i, o)
		}
	}
	if got.Load() != 3 {
		t.Errorf("%d requests", got.Load())
	}
}

// TestGate: once a request was said to be unwritten, its connection writes nothing; once written, it stays so.
func TestGate(t *testing.T) {
	t.Parallel()
	g := &gate{ctx: t.Context()}
	if g.seal() || !errors.Is(g.enter(), errSealed) || g.seal() {
		t.Error("a sealed gate opened")
	}
	g = &gate{ctx: t.Context()}
	if g.enter() != nil || !g.seal() || g.enter() != nil {
		t.Error("a written request was forgotten")
	}
	g = &gate{ctx: short(t, -time.Second)}
	if !errors.Is(g.enter(), errSealed) || g.seal() {
		t.Error("a late request was written")
	}
}

// TestLibraryPanic: what was seen before a panic stands; without it the outcome is unknown.
func TestLibraryPanic(t *testing.T) {
	t.Parallel()
	p := provider(t, nobody)
	p.next = nil // any use of it panics
	if got := p.Send(t.Context(), aText()); got.Class != notifier.Unknown || got.Detail != "panic" {
		t.Errorf("%+v", got)
	}
	if _, err := p.Find(t.Context(), canary, time.Time{}, time.Now()); !errors.Is(err, ErrNotListed) {
		t.Errorf("%v", err)
	}
	if _, err := p.Fetch(t.Context(), goodSID); !errors.Is(err, ErrNotFetched) {
		t.Errorf("%v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 26, 10, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "0": 0, "5": 5 * time.Second, " 5 ": 5 * time.Second, "-5": 0, "soon": 0, "1e3": 0, "86400": 15 * time.Minute,
		"Sun, 26 Jul 2026 10:00:30 GMT": 30 * time.Second, "Sun, 26 Jul 2026 09:59:30 GMT": 0, "Mon, 26 Jul 2027 10:00:00 GMT": 15 * time.Minute,
	} {
		if got := retryAfter(v, now); got != want {
			t.Errorf("%q: %s, want %s", v, got, want)
		}
	}
}
