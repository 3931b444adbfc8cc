package twilio

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ansim/notifier"
	"ansim/schema/personal"
)

// TestMain silences the standard logger, as the program does: Go's HTTP client tells it what a server said out of turn, word by
// word, with the number in it.
func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// ask is one of the three requests, and what a good answer to it is.
type ask struct {
	name   string
	status int
	body   string
	// run makes the request and says what came of it, in the words of the outcome or of the error.
	run func(context.Context, *Provider) string
}

// plain is a text as the API shows it.
const plain = `{"sid": "` + goodSID + `", "account_sid": "` + account + `", "to": "` + canary + `", "status": "sent", "body": "x", "error_code": null, "date_created": "Sun, 26 Jul 2026 12:00:00 +0000"}`

func asks(t *testing.T) []ask {
	failed := func(err error, kind error) string {
		noCanary(t, err.Error())
		if !errors.Is(err, kind) {
			t.Errorf("%v is no %v", err, kind)
		}
		return strings.TrimPrefix(err.Error(), kind.Error()+": ")
	}
	return []ask{
		{"Send", http.StatusCreated, plain, func(ctx context.Context, p *Provider) string {
			o := p.Send(ctx, aText())
			if (o.Class == notifier.Accepted) != (o.SID == goodSID) {
				t.Errorf("%+v", o)
			}
			return strings.TrimSpace(fmt.Sprintf("%s %s", o.Class, o.Detail))
		}},
		{"Find", http.StatusOK, `{"messages": [` + plain + `], "next_page_uri": null}`, func(ctx context.Context, p *Provider) string {
			found, err := p.Find(ctx, canary, time.Time{}, time.Now())
			if err != nil {
				return failed(err, ErrNotListed)
			}
			return fmt.Sprintf("accepted %d", len(found))
		}},
		{"Fetch", http.StatusOK, plain, func(ctx context.Context, p *Provider) string {
			s, err := p.Fetch(ctx, goodSID)
			if err != nil {
				return failed(err, ErrNotFetched)
			}
			return fmt.Sprintf("accepted %.0s1", s.SID)
		}},
	}
}

// TestBadAnswers: whatever the other side answers, the call ends, nothing is believed that is not proved, one request was
// made, and the connection is neither kept nor leaked unless it is in order.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := listen(t, func(*network, net.Conn, *bufio.Reader) { elsewhere.Add(1) })
	reply := func(change func(a ask) string) func(ask, net.Conn, *bufio.Reader) {
		return func(a ask, c net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(c, change(a)) }
	}
	of := func(headers string, body func(string) string) func(ask, net.Conn, *bufio.Reader) {
		return reply(func(a ask) string { return http1(a.status, headers, body(a.body)) })
	}
	is := func(body string) func(ask, net.Conn, *bufio.Reader) {
		return of("", func(string) string { return body })
	}
	endless := func(head func(a ask) string, chunk string) func(ask, net.Conn, *bufio.Reader) {
		return func(a ask, c net.Conn, _ *bufio.Reader) {
			_, _ = io.WriteString(c, head(a))
			for written := 0; ; written += len(chunk) {
				if _, err := io.WriteString(c, chunk); err != nil {
					return
				}
				if written > 64<<20 {
					t.Error("64 MB of an endless answer were taken")
					return
				}
			}
		}
	}
	first := func(a ask) string { return fmt.Sprintf("HTTP/1.1 %d Fine\r\n", a.status) }
	silence := func(say func(a ask) string) func(ask, net.Conn, *bufio.Reader) {
		return func(a ask, c net.Conn, r *bufio.Reader) {
			_, _ = io.WriteString(c, say(a))
			_, _ = r.ReadByte() // until the other side gives up
		}
	}
	const unreadable, broken, large = "unreadable", "broken", "too-large"
	for name, c := range map[string]struct {
		answer func(ask, net.Conn, *bufio.Reader)
		want   string // the word; a status follows it for Find and Fetch where the answer had a bad body
		hurry  bool   // the deadline is what ends it
	}{
		"a good answer":       {of("Content-Type: application/json\r\n", func(b string) string { return b }), "accepted", false},
		"100 Continue before": {reply(func(a ask) string { return "HTTP/1.1 100 Continue\r\n\r\n" + http1(a.status, "", a.body) }), "accepted", false},
		"103 Early Hints before": {reply(func(a ask) string {
			return "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + http1(a.status, "", a.body)
		}), "accepted", false},
		"JSON that is called HTML":    {of("Content-Type: text/html\r\n", func(b string) string { return b }), "accepted", false}, // its bytes prove it
		"HTML that is called JSON":    {of("Content-Type: application/json\r\n", func(string) string { return "<html>" }), unreadable, false},
		"a type of junk":              {of("Content-Type: \xff;;=\r\n", func(string) string { return "\xff\x00" }), unreadable, false},
		"gzip that nobody asked for":  {of("Content-Encoding: gzip\r\n", func(string) string { return "\x1f\x8b\x08\x00junk" }), unreadable, false},
		"10 MB":                       {of("", func(b string) string { return b[:1] + `"x": "` + strings.Repeat("x", 10<<20) + `", ` + b[1:] }), large, false},
		"10 MB of spaces":             {of("", func(b string) string { return strings.Repeat(" ", 10<<20) + b }), large, false},
		"a body without end, chunked": {endless(func(a ask) string { return first(a) + "Transfer-Encoding: chunked\r\n\r\n" }, "1000\r\n"+strings.Repeat(" ", 0x1000)+"\r\n"), large, false},
		"a body without end, plain":   {endless(func(a ask) string { return first(a) + "\r\n" }, strings.Repeat("[", 4096)), large, false},
		"a length of 8 EB":            {silence(func(a ask) string { return first(a) + "Content-Length: 9223372036854775807\r\n\r\n{" }), large, false},
		"headers without end":         {endless(first, "X-Junk: "+strings.Repeat("x", 1000)+"\r\n"), broken, false},
		"one header without end":      {endless(func(a ask) string { return first(a) + "X-Junk: " }, strings.Repeat("x", 4096)), broken, false},
		"a status line without end":   {endless(func(ask) string { return "HTTP/1.1 201 " }, strings.Repeat("x", 4096)), broken, false},
		"1xx without end":             {endless(func(ask) string { return "" }, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), broken, false},
		"trailers without end":        {endless(func(a ask) string { return first(a) + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" }, "X-Junk: x\r\n"), broken, false},
		"headers of junk":             {reply(func(a ask) string { return first(a) + "\x00\x01: \xff\r\n : \r\n\r\n" }), broken, false},
		"two lengths":                 {reply(func(a ask) string { return first(a) + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x" }), broken, false},
		"a length below zero":         {reply(func(a ask) string { return first(a) + "Content-Length: -1\r\n\r\n{}" }), broken, false},
		"a status of 99":              {reply(func(ask) string { return "HTTP/1.1 99 x\r\n\r\n" }), broken, false},
		"no HTTP at all":              {reply(func(ask) string { return "\x16\x03\x01\x02\x00" }), broken, false},
		"an array":                    {is(`[` + plain + `]`), unreadable, false},
		"a string":                    {is(`"` + goodSID + `"`), unreadable, false},
		"a number":                    {is(`1e400`), unreadable, false},
		"nothing":                     {is(``), unreadable, false},
		"two objects":                 {of("", func(b string) string { return b + b }), unreadable, false},
		"an object and junk":          {of("", func(b string) string { return b + "x" }), unreadable, false},
		"a byte order mark":           {of("", func(b string) string { return "\ufeff" + b }), unreadable, false},
		"UTF-16":                      {of("", func(b string) string { return strings.Join(strings.Split(b, ""), "\x00") }), unreadable, false},
		"fields of another shape":     {of("", func(b string) string { return strings.ReplaceAll(b, `"`+goodSID+`"`, `["`+goodSID+`"]`) }), unreadable, false},
		"nesting of 100,000": {of("", func(b string) string {
			return b[:1] + `"x": ` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `, ` + b[1:]
		}), unreadable, false},
		"nesting without end":           {is(strings.Repeat(`{"sid":`, 8_000)), unreadable, false},
		"a SID twice":                   {of("", func(b string) string { return strings.Replace(b, `"sid"`, `"sid": "`+sid(1)+`", "sid"`, 1) }), unreadable, false},
		"the same SID twice":            {of("", func(b string) string { return strings.Replace(b, `"sid"`, `"sid": "`+goodSID+`", "sid"`, 1) }), unreadable, false},
		"a SID twice, once in capitals": {of("", func(b string) string { return strings.Replace(b, `"sid"`, `"SID": "`+sid(1)+`", "sid"`, 1) }), unreadable, false},
		"a SID twice, once escaped":     {of("", func(b string) string { return strings.Replace(b, `"sid"`, `"\u0073id": "`+sid(1)+`", "sid"`, 1) }), unreadable, false},
		"half a body":                   {reply(func(a ask) string { w := http1(a.status, "", a.body); return w[:len(w)-20] }), "eof", false},
		"half a body, chunked": {reply(func(a ask) string {
			return first(a) + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(a.body), a.body)
		}), "eof", false},
		"a chunk of junk":        {reply(func(a ask) string { return first(a) + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n" }), broken, false},
		"closed behind the head": {reply(func(a ask) string { return first(a) + "Content-Length: 100\r\n\r\n" }), "eof", false},
		"closed in the head":     {reply(func(a ask) string { return first(a) + "Content-Le" }), broken, false},
		"closed at once":         {reply(func(ask) string { return "" }), "eof", false},
		"another protocol, then silence": {silence(func(ask) string {
			return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
		}), "switched", false},
		"silence":                      {silence(func(ask) string { return "" }), "timeout", true},
		"silence in the head":          {silence(first), "timeout", true},
		"silence behind the head":      {silence(func(a ask) string { return first(a) + "Content-Length: 500\r\n\r\n" }), "timeout", true},
		"silence in the body":          {silence(func(a ask) string { w := http1(a.status, "", a.body); return w[:len(w)-20] }), "timeout", true},
		"silence between two chunks":   {silence(func(a ask) string { return first(a) + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n" }), "timeout", true},
		"1xx, then silence":            {silence(func(ask) string { return "HTTP/1.1 102 Processing\r\n\r\n" }), "timeout", true},
		"a redirect elsewhere":         {reply(func(a ask) string { return http1(302, "Location: "+other.url()+"/x\r\n", a.body) }), "redirect", false},
		"a redirect that keeps a POST": {reply(func(a ask) string { return http1(307, "Location: "+other.url()+"/x\r\n", a.body) }), "redirect", false},
		"304":                          {reply(func(ask) string { return "HTTP/1.1 304 Not Modified\r\n\r\n" }), "redirect", false},
		"another 2xx":                  {reply(func(a ask) string { return http1(202, "", a.body) }), "not-created", false},
		"204":                          {reply(func(ask) string { return "HTTP/1.1 204 No Content\r\n\r\n" }), unreadable, false},
		"a status of 999":              {reply(func(a ask) string { return http1(999, "", a.body) }), "server-error", false},
		"a text to another number":     {of("", func(b string) string { return strings.ReplaceAll(b, canary, "+821099990000") }), "another-text", false},
		"a number that is redacted":    {of("", func(b string) string { return strings.ReplaceAll(b, canary, "+8210XXXXXXXX") }), "accepted", false},
		"a number that is normalised":  {of("", func(b string) string { return strings.ReplaceAll(b, canary, "+8201055501234") }), "accepted", false},
		"no number":                    {of("", func(b string) string { return strings.ReplaceAll(b, `"`+canary+`"`, "null") }), "accepted", false},
		"another body":                 {of("", func(b string) string { return strings.ReplaceAll(b, `"x"`, `"Sent from a trial account - x"`) }), "accepted", false},
	} {
		for _, a := range asks(t) {
			t.Run(name+"/"+a.name, func(t *testing.T) {
				t.Parallel()
				script := func(n *network, conn net.Conn, r *bufio.Reader) {
					if n.read(r) {
						c.answer(a, conn, r)
					}
				}
				if c.hurry { // in a bubble's time, in which the deadline does not pass before the request was written
					synctest.Test(t, func(t *testing.T) {
						p := provider(t, "http://provider.test")
						badAnswer(t, inMemory(p, script), p, a, c.want)
					})
					return
				}
				n := listen(t, script)
				badAnswer(t, n, provider(t, n.url()), a, c.want)
			})
		}
	}
	t.Cleanup(func() {
		if elsewhere.Load() != 0 {
			t.Error("a redirect was followed")
		}
	})
}

// badAnswer makes one request and holds what came of it against the table's word.
func badAnswer(t *testing.T, n *network, p *Provider, a ask, word string) {
	t.Helper()
	if got, want := a.run(short(t, patience), p), wanted(a, word); !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if n.count() != 1 || n.opened.Load() != 1 {
		t.Errorf("%d requests on %d connections", n.count(), n.opened.Load())
	}
	n.allClosed(t, p)
}

// wanted is how a request says what the table calls want.
func wanted(a ask, want string) string {
	switch {
	case want == "accepted" && a.name == "Send":
		return "accepted"
	case want == "accepted":
		return "accepted 1"
	case a.name == "Send":
		return "unknown " + want
	}
	switch want {
	case "redirect", "not-created", "server-error":
		return "status "
	case "another-text": // a list of other people's texts cannot be trusted; one text is asked for by its SID alone
		if a.name == "Find" {
			return "unreadable"
		}
		return "accepted 1"
	case "unreadable":
		return "" // or the status is what is wrong
	}
	return want
}

// TestAnswersOfTheNextRequest: a server, or something on the way, that answers each request twice puts its answers out of
// step. No text is taken for accepted by the answer to another.
func TestAnswersOfTheNextRequest(t *testing.T) {
	t.Parallel()
	sidOf := func(to string) string { return fmt.Sprintf("SM%.32x", sha256.Sum256([]byte(to)))[:34] }
	n := listen(t, func(_ *network, c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil || req.ParseForm() != nil {
				return
			}
			to := req.PostForm.Get("To")
			one := http1(http.StatusCreated, "", `{"sid": "`+sidOf(to)+`", "to": "`+to+`"}`)
			if _, err := io.WriteString(c, one+one); err != nil {
				return
			}
		}
	})
	p := provider(t, n.url())
	var accepted atomic.Int32
	var senders sync.WaitGroup
	for sender := range 32 { // many, so that one waits for the connection that another gives back
		senders.Go(func() {
			for i := range 50 {
				text := aText()
				text.To = personal.Phone(fmt.Sprintf("+8210%08d", 50*sender+i))
				switch o := p.Send(short(t, patience), text); {
				case o.Class == notifier.Rejected:
					t.Errorf("%+v", o)
				case o.Class == notifier.Accepted && o.SID != sidOf(text.To.Reveal()):
					t.Errorf("text %d of sender %d has the SID of another", i, sender)
				case o.Class == notifier.Accepted:
					accepted.Add(1)
				}
			}
		})
	}
	senders.Wait()
	if accepted.Load() == 0 {
		t.Error("nothing was accepted")
	}
	n.allClosed(t, p)
}

// TestConnectionsAfterBadAnswers: bad answers among good ones cost their own connection and nothing else. It plays in a bubble's
// time, because the transport closes a good connection, too, when 50 ms after its answer it has not seen the request written.
func TestConnectionsAfterBadAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := provider(t, "http://provider.test")
		var turn atomic.Int32
		n := inMemory(p, func(n *network, c net.Conn, r *bufio.Reader) {
			for n.read(r) {
				answer := created
				switch turn.Add(1) % 4 {
				case 1:
					answer = http1(http.StatusCreated, "", strings.Repeat(" ", 1<<20))
				case 2:
					answer = http1(http.StatusServiceUnavailable, "", "<html>")
				}
				if _, err := io.WriteString(c, answer); err != nil {
					return
				}
			}
		})
		classes := map[string]int{}
		for range 200 {
			o := p.Send(short(t, patience), aText())
			classes[strings.TrimSpace(string(o.Class)+" "+o.Detail)]++
		}
		if classes["accepted"] != 100 || classes["unknown too-large"] != 50 || classes["unknown server-error"] != 50 {
			t.Errorf("%v", classes)
		}
		if got := n.opened.Load(); got != 51 {
			t.Errorf("%d connections, want 51: one to begin with, and one more after each of 50 answers that were cut off", got)
		}
		n.allClosed(t, p)
	})
}
