package sandbox_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
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

func TestFailedCallbacksAreTriedAgain(t *testing.T) {
	t.Parallel()
	retries := []time.Duration{time.Millisecond, time.Millisecond}
	n := start(t, sandbox.Options{CallbackRetries: retries})
	r := listen(t, n.AuthToken(), func(n int) int {
		if n <= 2 {
			return http.StatusBadGateway
		}
		return http.StatusNoContent
	})
	n.send(t, text("+821012345678", "StatusCallback", r.URL+"/cb"))
	got := r.statuses(t, 5)
	slices.Sort(got)
	if len(slices.Compact(got)) != 3 {
		t.Errorf("%v", got)
	}

	refuses := listen(t, n.AuthToken(), func(int) int { return http.StatusForbidden })
	n.send(t, text("+821012345678", "StatusCallback", refuses.URL+"/cb"))
	if got := strings.Join(refuses.statuses(t, 3), " "); got != "queued sent delivered" {
		t.Errorf("after 403 it goes on with the next: %s", got)
	}

	down := listen(t, n.AuthToken(), func(int) int { return http.StatusInternalServerError })
	n.send(t, text("+821012345678", "StatusCallback", down.URL+"/cb"))
	down.statuses(t, 9) // three states, three tries each
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
