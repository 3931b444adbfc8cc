package sandbox_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ansim/notifier/sandbox"

	"github.com/twilio/twilio-go/client"
)

// receiver is an endpoint for callbacks that checks their signatures with Twilio's own library.
type receiver struct {
	*httptest.Server
	got  chan url.Values
	fail func(n int) int // status of the n-th callback, from 1

	mu sync.Mutex
	n  int
}

func listen(t *testing.T, token string, fail func(int) int) *receiver {
	r := &receiver{got: make(chan url.Values, 100), fail: fail}
	validator := client.NewRequestValidator(token)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if !validator.ValidateBody(r.URL+req.URL.String(), body, req.Header.Get("X-Twilio-Signature")) {
			t.Errorf("Twilio's library refuses the signature of %s", body)
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.n++
		status := http.StatusNoContent
		if r.fail != nil {
			status = r.fail(r.n)
		}
		r.mu.Unlock()
		w.WriteHeader(status)
		r.got <- form
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) statuses(t *testing.T, n int) (out []string) {
	t.Helper()
	ctx := soon(t)
	for range n {
		select {
		case form := <-r.got:
			out = append(out, form.Get("MessageStatus"))
		case <-ctx.Done():
			t.Fatalf("only %v came", out)
		}
	}
	return out
}

func TestCallbacks(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		`{}`:                                    "queued sent delivered",
		`{"answer":"hang"}`:                     "queued sent delivered",
		`{"callbacks":"early"}`:                 "queued sent delivered",
		`{"callbacks":"twice"}`:                 "queued queued sent sent delivered delivered",
		`{"callbacks":"reordered"}`:             "delivered sent queued",
		`{"callbacks":"late","late_by":"30ms"}`: "queued sent delivered",
		`{"final":"undelivered:30003"}`:         "queued sent undelivered",
		`{"final":"failed:30008"}`:              "queued failed",
		`{"final":"sent"}`:                      "queued sent",
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			n := start(t, sandbox.Options{})
			r := listen(t, n.AuthToken(), nil)
			n.put(t, "["+rule+"]")
			go func() {
				resp, err := n.client.Do(n.request(t, http.MethodPost, n.url("/Messages.json"), text("+821012345678", "StatusCallback", r.URL+"/v1/status/0a1b?x=1&y=한")))
				if err == nil {
					resp.Body.Close()
				}
			}()
			if got := strings.Join(r.statuses(t, len(strings.Fields(want))), " "); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if texts := n.Texts(); len(texts) != 1 || texts[0].Token != "0a1b" {
				t.Errorf("%+v", texts)
			}
		})
	}
}

func TestCallbackForm(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	r := listen(t, n.AuthToken(), nil)
	n.put(t, `[{"final":"undelivered:30005"}]`)
	_, m := n.send(t, text("+821012345678", "StatusCallback", r.URL+"/status/t"))
	r.statuses(t, 2)
	form := <-r.got
	for name, want := range map[string]string{
		"MessageSid": m["sid"].(string), "SmsSid": m["sid"].(string), "SmsStatus": "undelivered", "ErrorCode": "30005", "To": "+821012345678",
		"From": sandbox.DefaultFrom, "AccountSid": n.AccountSID(), "ApiVersion": "2010-04-01",
	} {
		if form.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, form.Get(name), want)
		}
	}
}

func TestEarlyCallbacksComeBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	r := listen(t, n.AuthToken(), nil)
	n.put(t, `[{"callbacks":"early"}]`)
	if status, m := n.send(t, text("+821012345678", "StatusCallback", r.URL+"/cb")); status != 201 || m["status"] != "queued" {
		t.Errorf("%d %v", status, m)
	}
	if len(r.got) != 3 {
		t.Errorf("%d callbacks had come by then", len(r.got))
	}
}

func TestNoCallbacks(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	r := listen(t, n.AuthToken(), nil)
	n.put(t, `[{"callbacks":"none","count":1}]`)
	n.send(t, text("+821012345678", "StatusCallback", r.URL+"/a"))
	if err := n.WaitFinal(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	n.send(t, text("+821012345679", "StatusCallback", r.URL+"/b"))
	r.statuses(t, 3)
	if err := n.WaitFinal(soon(t), 2); err != nil {
		t.Fatal(err)
	}
	if s := n.Stats(); len(r.got) != 0 || s.States[sandbox.Delivered] != 2 {
		t.Errorf("%d more callbacks came, %+v", len(r.got), s)
	}
}

// TestCallbacksAreTriedAgainAsTheURLSays: a status is no reason for a further try unless the URL's fragment makes it one.
// The fragment is neither sent nor signed, which listen checks.
func TestCallbacksAreTriedAgainAsTheURLSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fragment string
		status   int
		tries    int
	}{
		{"", 502, 1},
		{"", 403, 1},
		{"#rc=2", 502, 1},
		{"#rc=2&rp=5xx", 502, 3},
		{"#rc=2&rp=5xx", 403, 1},
		{"#rp=5xx", 503, 2},
		{"#rc=1&rp=4xx", 404, 2},
		{"#rc=5&rp=all", 500, 6},
		{"#rp=5xx,ct&rc=0", 500, 1},
		{"#rc=9&rp=5xx", 500, 2},
		{"#rc=2&rp=5xx,whatever", 500, 1},
		{"#nonsense;rc=2", 500, 1},
	} {
		t.Run(c.fragment+" "+http.StatusText(c.status), func(t *testing.T) {
			t.Parallel()
			n := start(t, sandbox.Options{CallbackRetries: []time.Duration{time.Millisecond}})
			r := listen(t, n.AuthToken(), func(int) int { return c.status })
			n.put(t, `[{"final":"sent"}]`) // two callbacks
			n.send(t, text("+821012345678", "StatusCallback", r.URL+"/status/tok?x=1"+c.fragment))
			got := r.statuses(t, 2*c.tries)
			slices.Sort(got)
			if want := slices.Concat(slices.Repeat([]string{"queued"}, c.tries), slices.Repeat([]string{"sent"}, c.tries)); !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			n.waitStats(t, func(s sandbox.Stats) bool { return s.CallbacksFailed == 2 })
			if len(r.got) != 0 || n.Texts()[0].Token != "tok" || n.Stats().CallbacksTaken != 0 {
				t.Errorf("%d more came; token %q", len(r.got), n.Texts()[0].Token)
			}
		})
	}
}

// waitStats returns when the network's figures are as they should become.
func (n *network) waitStats(t *testing.T, good func(sandbox.Stats) bool) {
	t.Helper()
	ctx := soon(t)
	for !good(n.Stats()) {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%+v", n.Stats())
		}
	}
}

// nobody is an address that refuses connections. A port that was free a moment ago may be that of another test's server by now.
const nobody = "http://127.0.0.1:1"

// TestConnectionFailuresAreTriedAgainOnce: nobody listens, and there is nothing that a receiver could have said.
func TestConnectionFailuresAreTriedAgainOnce(t *testing.T) {
	t.Parallel()
	for fragment, tries := range map[string]string{"": "tries=2", "#rc=0": "tries=1", "#rc=3": "tries=4", "#rp=5xx": "tries=1"} {
		t.Run(fragment, func(t *testing.T) {
			t.Parallel()
			said := &lines{}
			n := start(t, sandbox.Options{CallbackRetries: []time.Duration{time.Millisecond}, Log: slog.New(slog.NewTextHandler(said, nil))})
			n.send(t, text("+821012345678", "StatusCallback", nobody+"/x"+fragment))
			n.waitStats(t, func(s sandbox.Stats) bool { return s.CallbacksFailed == 3 })
			if got := said.String(); strings.Count(got, "given up") != 3 || strings.Count(got, tries) != 3 {
				t.Errorf("want three times %s, the log says\n%s", tries, got)
			}
		})
	}
}

// lines is a log that may be written by many.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestLostAnswersToCallbacks: a receiver that hung up after it was told is not told again unless the URL says rt, and a
// connection that the receiver closed while it rested costs nothing.
func TestLostAnswersToCallbacks(t *testing.T) {
	t.Parallel()
	for fragment, want := range map[string]int32{"": 2, "#rp=rt&rc=2": 6} {
		t.Run(fragment, func(t *testing.T) {
			t.Parallel()
			n := start(t, sandbox.Options{CallbackRetries: []time.Duration{time.Millisecond}})
			n.put(t, `[{"final":"sent"}]`)
			var told atomic.Int32
			r := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				told.Add(1)
				panic(http.ErrAbortHandler)
			}))
			defer r.Close()
			n.send(t, text("+821012345678", "StatusCallback", r.URL+fragment))
			n.waitStats(t, func(s sandbox.Stats) bool { return s.CallbacksFailed == 2 })
			if told.Load() != want {
				t.Errorf("told %d times, want %d", told.Load(), want)
			}
		})
	}
}

func TestCallbacksDoNotFollowRedirects(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	target := listen(t, n.AuthToken(), nil)
	asked := make(chan struct{}, 9)
	redirects := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target.URL, http.StatusTemporaryRedirect)
		asked <- struct{}{}
	}))
	defer redirects.Close()
	n.send(t, text("+821012345678", "StatusCallback", redirects.URL))
	for range 3 {
		<-asked
	}
	if len(target.got) != 0 {
		t.Error("a callback was carried elsewhere")
	}
}
