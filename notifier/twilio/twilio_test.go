package twilio

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ansim/notifier"
	"ansim/schema/personal"
)

// The canaries must be in no error and no log line.
const (
	canary     = "+821055501234"
	canaryBody = "[백신예약] 카나리아님 예약완료\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"
	account    = "AC0123456789abcdef0123456789abcdef"
	secret     = "5ecret5ecret5ecret5ecret5ecret00"
	goodSID    = "SM0123456789abcdef0123456789abcdef"
	token      = "00112233445566778899aabbccddeeff"
)

// whole is an answer as long as Twilio's own are.
const whole = `{"body": "[\ubc31\uc2e0\uc608\uc57d] \uce74\ub098\ub9ac\uc544\ub2d8 \uc608\uc57d\uc644\ub8cc\n7/26(\uc6d4)10:30 \uac15\ub0a8\uad6c\ubcf4\uac74\uc18c\n\ubc88\ud638 K7Q29-3TX4M", "num_segments": "1", "direction": "outbound-api", "from": "+8225550100", "date_updated": "Sun, 26 Jul 2026 12:00:00 +0000", "price": null, "error_message": null, "uri": "/2010-04-01/Accounts/` + account + `/Messages/` + goodSID + `.json", "account_sid": "` + account + `", "num_media": "0", "to": "` + canary + `", "date_created": "Sun, 26 Jul 2026 12:00:00 +0000", "status": "queued", "sid": "` + goodSID + `", "date_sent": null, "messaging_service_sid": null, "error_code": null, "price_unit": "USD", "api_version": "2010-04-01", "subresource_uris": {"media": "/2010-04-01/Accounts/` + account + `/Messages/` + goodSID + `/Media.json"}}`

// patience is how long a test waits for what must come; nothing is decided by its length, but in a bubble, where waiting takes no time.
const patience = 3 * time.Minute

// nobody is an address that refuses connections. A port that was free a moment ago may be that of another test's server by now.
const nobody = "http://127.0.0.1:1"

// network is a server that speaks raw TCP: script gets each connection with what was read of it.
type network struct {
	net.Listener
	mu       sync.Mutex
	requests [][]byte       // as received
	opened   atomic.Int32   // connections so far
	conns    sync.WaitGroup // those that are open: a script's end closes its own
}

func listen(t testing.TB, script func(n *network, c net.Conn, r *bufio.Reader)) *network {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{Listener: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.opened.Add(1)
			n.conns.Go(func() {
				defer func() { _ = c.Close() }()
				script(n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait(); n.conns.Wait() })
	return n
}

// allClosed closes the provider's idle connections, and fails the test when the other side still has an open one after that:
// then a connection has leaked.
func (n *network) allClosed(t *testing.T, p *Provider) {
	t.Helper()
	p.Close()
	if n.Listener != nil {
		_ = n.Close() // nothing is opened any more, so that waiting is allowed
	}
	ended := make(chan struct{})
	go func() { n.conns.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-short(t, patience).Done():
		t.Error("a connection leaked")
	}
}

// inMemory lets p reach script over pipes, for a test in a bubble: its time stands still while anybody has something to do, so
// that none of the transport's limits passes by chance.
func inMemory(p *Provider, script func(n *network, c net.Conn, r *bufio.Reader)) *network {
	n := new(network)
	p.transport.DialContext = gated(func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		n.opened.Add(1)
		n.conns.Go(func() {
			defer func() { _ = theirs.Close() }()
			script(n, theirs, bufio.NewReader(theirs))
		})
		return ours, nil
	})
	return n
}

// read takes one request off r; false when the connection ended before it was whole.
func (n *network) read(r *bufio.Reader) bool {
	var raw bytes.Buffer
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(oneByte{r}, &raw)))
	if err != nil {
		return false
	}
	if _, err := io.ReadAll(req.Body); err != nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests = append(n.requests, raw.Bytes())
	return true
}

// oneByte keeps a second bufio.Reader from reading into the next request.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

func (n *network) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.requests)
}

func (n *network) url() string { return "http://" + n.Addr().String() }

// provider makes a Provider for base, and fails the test if a canary shows up in its log.
func provider(t *testing.T, base string) *Provider {
	t.Helper()
	var log syncBuffer
	p, err := New(Options{
		AccountSID: account, AuthToken: secret, From: "+8225550100", BaseURL: base, PublicURL: "http://ansim.test/",
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(); noCanary(t, log.String()) })
	return p
}

func noCanary(t *testing.T, s string) {
	t.Helper()
	for _, c := range []string{canary[1:], "카나리아", "K7Q29", secret} {
		if strings.Contains(s, c) {
			t.Errorf("%q shows in %q", c, s)
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func aText() notifier.Text {
	return notifier.Text{To: personal.Phone(canary), Body: canaryBody, Token: token, Valid: 90 * time.Minute}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := Options{AccountSID: account, AuthToken: secret, From: "+8225550100", PublicURL: "https://ansim.example"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no account":              func(o *Options) { o.AccountSID = "" },
		"an API key as account":   func(o *Options) { o.AccountSID = "SK" + account[2:] },
		"no auth token":           func(o *Options) { o.AuthToken = "" },
		"an auth token of spaces": func(o *Options) { o.AuthToken = "a b" },
		"no sender":               func(o *Options) { o.From = "" },
		"a sender without plus":   func(o *Options) { o.From = "025550100" },
		"no public URL":           func(o *Options) { o.PublicURL = "" },
		"a public URL of a host":  func(o *Options) { o.PublicURL = "ansim.example" },
		"a query":                 func(o *Options) { o.PublicURL = "https://ansim.example/?a=b" },
		"plain callbacks":         func(o *Options) { o.PublicURL = "http://ansim.example" },
		"plain Twilio":            func(o *Options) { o.BaseURL = "http://api.twilio.com" },
		"a base with a user":      func(o *Options) { o.BaseURL = "https://u:p@sandbox.example" },
	} {
		o := good
		change(&o)
		_, err := New(o)
		if !errors.Is(err, ErrSettings) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the secret is in the error", name)
		}
	}
	service := good
	service.From, service.BaseURL, service.PublicURL = "MG"+account[2:], "http://127.0.0.1:1/prefix/", "http://127.0.0.1:2"
	if _, err := New(service); err != nil {
		t.Error(err)
	}
}

// TestRequestForm holds the request as it goes over the wire.
func TestRequestForm(t *testing.T) {
	t.Parallel()
	n := listen(t, func(n *network, c net.Conn, r *bufio.Reader) {
		for n.read(r) {
			_, _ = io.WriteString(c, created)
		}
	})
	p := provider(t, n.url())
	p.Send(t.Context(), aText())
	p.from = "MG" + account[2:]
	text := aText()
	text.Valid = 100 * time.Hour
	p.Send(t.Context(), text)
	p.base.Path = "/prefix"
	text.Valid = 0
	p.Send(t.Context(), text)
	if n.count() != 3 {
		t.Fatalf("%d requests", n.count())
	}
	form := func(valid, sender string) string {
		return "Body=%5B%EB%B0%B1%EC%8B%A0%EC%98%88%EC%95%BD%5D+%EC%B9%B4%EB%82%98%EB%A6%AC%EC%95%84%EB%8B%98+%EC%98%88%EC%95%BD" +
			"%EC%99%84%EB%A3%8C%0A7%2F26%28%EC%9B%94%2910%3A30+%EA%B0%95%EB%82%A8%EA%B5%AC%EB%B3%B4%EA%B1%B4%EC%86%8C%0A%EB%B2%88%ED%98%B8+K7Q29-3TX4M" +
			strings.ReplaceAll(sender, "STATUS", "&StatusCallback=http%3A%2F%2Fansim.test%2Fv1%2Fproviders%2Ftwilio%2Fstatus%2F"+token+"%23rc%3D3%26rp%3Dct%2Crt%2C5xx&To=%2B821055501234&ValidityPeriod="+valid)
	}
	service := "&MessagingServiceSid=MG0123456789abcdef0123456789abcdef"
	for i, want := range []struct{ path, body string }{
		{"/2010-04-01/", form("5400", "&From=%2B8225550100STATUS")},
		{"/2010-04-01/", form("14400", service+"STATUS")},
		{"/prefix/2010-04-01/", form("1", service+"STATUS")},
	} {
		head, body, _ := strings.Cut(string(n.requests[i]), "\r\n\r\n")
		if body != want.body {
			t.Errorf("request %d:\n%s\nwant\n%s", i, body, want.body)
		}
		if !strings.HasPrefix(head, "POST "+want.path+"Accounts/"+account+"/Messages.json HTTP/1.1\r\nHost: "+n.Addr().String()+"\r\n") {
			t.Errorf("request %d: %s", i, head)
		}
		if strings.Contains(strings.ToLower(head), "idempotency") || !strings.Contains(head, "\r\nAuthorization: Basic ") {
			t.Errorf("request %d: %s", i, head)
		}
	}
}

// TestLibraryCannotMisbehave: no header of the library's leaves, no second request, none to another host.
func TestLibraryCannotMisbehave(t *testing.T) {
	t.Parallel()
	n := listen(t, func(n *network, c net.Conn, r *bufio.Reader) {
		for n.read(r) {
			_, _ = io.WriteString(c, created)
		}
	})
	p := provider(t, n.url())
	rec := p.recorder(t.Context(), maxText)
	headers := map[string]any{"Idempotency-Key": "1", "X-Idempotency-Key": "1", "X-Other": "1"}
	for range 2 {
		if _, err := rec.SendRequest(http.MethodPost, DefaultBaseURL+"/x", url.Values{"a": {"b"}}, headers); err == nil {
			t.Error("the library got an answer")
		}
	}
	if n.count() != 1 || rec.status != 201 {
		t.Fatalf("%d requests, %d", n.count(), rec.status)
	}
	if head := strings.ToLower(string(n.requests[0])); strings.Contains(head, "idempotency") || strings.Contains(head, "x-other") {
		t.Errorf("%s", head)
	}
	rec = p.recorder(t.Context(), maxText)
	if _, err := rec.SendRequest(http.MethodPost, "https://elsewhere.example/x", nil, nil); !errors.Is(err, errElsewhere) || n.count() != 1 {
		t.Errorf("%v, %d requests", err, n.count())
	}
	if out := classify(&rec.record, account, canary, time.Now()); out.Class != notifier.NotSent {
		t.Errorf("%+v", out)
	}
}

func short(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
