package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// list is a provider's list of texts, newest first, in pages of two. The tests of `ansim check` read the
// sandbox's, which may not be imported here.
type list struct {
	texts  []listedText
	before func(http.ResponseWriter, *http.Request) bool // answers itself, with true
	asked  atomic.Int64
}

func (l *list) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.asked.Add(1)
	user, password, _ := r.BasicAuth()
	if l.before != nil && l.before(w, r) {
		return
	}
	if user != "AC1" || password != "token" || r.URL.Path != "/2010-04-01/Accounts/AC1/Messages.json" || r.Method != http.MethodGet {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if q := r.URL.Query(); q.Has("DateSent") || q.Has("DateSent>") || q.Has("To") {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	at := 0
	_, _ = fmt.Sscanf(r.URL.Query().Get("PageToken"), "PA%d", &at)
	page := listedPage{Messages: l.texts[at:min(at+2, len(l.texts))]}
	if page.Messages == nil {
		page.Messages = []listedText{}
	}
	if at+2 < len(l.texts) {
		page.Next = new(fmt.Sprintf("%s?PageSize=1000&PageToken=PA%d", r.URL.Path, at+2))
	}
	_ = json.NewEncoder(w).Encode(page)
}

// listed is a text in the list, made that long ago.
func listed(sid, to, body string, age time.Duration) listedText {
	return listedText{SID: sid, To: to, From: new("+15005550006"), Body: body, Direction: "outbound-api",
		Created: ago(age).Format(time.RFC1123Z)}
}

// listOf is the list of base.
func (w world) listOf(n int) *list {
	l := &list{}
	for i := n; i >= 1; i-- {
		l.texts = append(l.texts, listed(sidOf(i), phoneOf(i), w.said[i], time.Hour))
	}
	return l
}

// account serves a list as a provider that does not make us wait.
func (l *list) account(t *testing.T) *Provider {
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	return &Provider{AccountSID: "AC1", AuthToken: "token", From: "+15005550006", BaseURL: srv.URL + "/",
		pause: func(context.Context, time.Duration) error { return nil }}
}

func TestProvider(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breaks      func(w world, l *list)
		since       time.Duration
		id, finding string // "" when nothing is wrong
		example     string
		open        int64 // of I16-provider
		checked     int64
	}{
		"what it should": {checked: 3},
		"a text that we do not know": {breaks: func(w world, l *list) { l.add(listed(sidOf(70), phoneOf(9), "hello", time.Hour)) },
			id: "I16-provider", finding: "text without an attempt", example: sidOf(70), checked: 4},
		"a text that it does not have": {breaks: func(w world, l *list) { l.texts = l.texts[1:] },
			id: "I16-provider", finding: "accepted text that the provider does not know", example: tokenOf(3), checked: 2},
		"a text twice": {breaks: func(w world, l *list) { l.add(listed(sidOf(70), phoneOf(2), w.said[2], time.Hour)) },
			id: "I2-provider", finding: "words that one number got again", checked: 4},
		"a text twice, of two attempts": {breaks: func(w world, l *list) {
			w.becomes(2, "delivered", "", "not_sent")
			w.attempt(50, 2, 2, "delivered", ago(30*time.Minute))
			l.add(listed(sidOf(50), phoneOf(2), w.said[2], 30*time.Minute))
		}, id: "I2-provider", finding: "text that was taken twice", example: message(2), checked: 4},
		"another number": {breaks: func(w world, l *list) { l.texts[1].To = phoneOf(9) },
			id: "I6-provider", finding: "text that went to another number", example: sidOf(2), checked: 3},
		"another body": {breaks: func(w world, l *list) { l.texts[1].Body += "!" },
			id: "I6-provider", finding: "text that says something else than its attempt", example: sidOf(2), checked: 3},
		"thought unsent": {breaks: func(w world, l *list) { w.becomes(2, "pending", "", "not_sent") },
			id: "I16-provider", finding: "text that we count as not sent", example: sidOf(2), checked: 3},
		"lost, and still looked for": {breaks: func(w world, l *list) { w.becomes(2, "unknown", "answer-lost", "unknown") }, open: 1, checked: 3},
		"lost, and held":             {breaks: func(w world, l *list) { w.becomes(2, "held", "answer-lost", "unknown") }, checked: 3},
		"a list that lags": {breaks: func(w world, l *list) {
			w.undo(3)
			w.attempt(3, 3, 1, "accepted", ago(4*time.Minute))
			l.texts = l.texts[1:]
		}, open: 1, checked: 2},
		"what others and other senders said": {breaks: func(w world, l *list) {
			in, foreign, service := listed(sidOf(70), phoneOf(9), "hello", time.Hour), listed(sidOf(71), phoneOf(9), "hello", time.Hour), listed(sidOf(72), phoneOf(9), "hello", time.Hour)
			in.Direction, foreign.From, service.From, service.Service = "inbound", new("+15005550007"), nil, new("MG1")
			l.add(in)
			l.add(foreign)
			l.add(service)
		}, checked: 3},
		"older texts, not asked for": {breaks: func(w world, l *list) {
			for i := range 20 {
				l.texts = append(l.texts, listed(sidOf(100+i), phoneOf(9), "hello", 2*time.Hour))
			}
		}, checked: 3},
		"older texts, asked for": {breaks: func(w world, l *list) {
			l.texts = append(l.texts, listed(sidOf(100), phoneOf(9), "hello", 2*time.Hour))
		}, since: 3 * time.Hour, id: "I16-provider", finding: "text without an attempt", example: sidOf(100), checked: 4},
		"older attempts than asked for": {breaks: func(w world, l *list) { l.texts = l.texts[:0] }, since: 30 * time.Minute},
		"at the edge of what is asked for": {breaks: func(w world, l *list) {
			for i := range l.texts {
				l.texts[i].Created = ago(time.Hour - time.Second).Format(time.RFC1123Z)
			}
		}, since: time.Hour - time.Second, checked: 3},
		"a page in no order": {breaks: func(w world, l *list) {
			l.texts = append([]listedText{listed(sidOf(100), phoneOf(9), "hello", 2*time.Hour)}, l.texts...)
		}, checked: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, 3, func(t *testing.T, w world) {
				l := w.listOf(3)
				if c.breaks != nil {
					c.breaks(w, l)
				}
				p := l.account(t)
				p.Since = c.since
				r := audit(t, w.db, Options{Provider: p})
				if c.finding != "" && !found(r, c.id, c.finding, c.example) {
					t.Errorf("%s %q of %s is not in %s", c.id, c.finding, c.example, shown(r))
				}
				var open, checked, broken int64
				for _, i := range r.Invariants {
					if strings.HasSuffix(i.ID, "-provider") {
						broken += i.Violations
					}
					if i.ID == "I16-provider" {
						open, checked = i.Open, i.Checked
					}
				}
				if c.finding == "" && broken > 0 || open != c.open || checked != c.checked {
					t.Errorf("%d checked, %d open, %d broken: %s", checked, open, broken, shown(r))
				}
				if l.asked.Load() > 5 {
					t.Errorf("%d pages were read", l.asked.Load())
				}
			})
		})
	}
}

func (l *list) add(t listedText) { l.texts = append([]listedText{t}, l.texts...) }

// TestProviderFails: a list that could not be read to its end is an error, after tries where they may help, and says nothing
// of what is in it.
func TestProviderFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, n int64)
		asked  int64
		says   string // "" when it succeeds after all
	}{
		"unauthorized": {func(w http.ResponseWriter, _ int64) { w.WriteHeader(401) }, 1, "TWILIO_AUTH_TOKEN"},
		"not found":    {func(w http.ResponseWriter, _ int64) { w.WriteHeader(404) }, 1, "status 404"},
		"elsewhere":    {func(w http.ResponseWriter, _ int64) { w.Header().Set("Location", "/x"); w.WriteHeader(302) }, 1, "status 302"},
		"always busy":  {func(w http.ResponseWriter, _ int64) { w.Header().Set("Retry-After", "9"); w.WriteHeader(429) }, pageTries, "status 429"},
		"always down":  {func(w http.ResponseWriter, _ int64) { w.WriteHeader(503) }, pageTries, "status 503"},
		"cut":          {func(w http.ResponseWriter, _ int64) { panic(http.ErrAbortHandler) }, pageTries, "EOF"},
		"no list":      {func(w http.ResponseWriter, _ int64) { _, _ = w.Write([]byte(`{"message": "+821000000001"}`)) }, pageTries, "not a list"},
		"no JSON":      {func(w http.ResponseWriter, _ int64) { _, _ = w.Write([]byte(`<html>+821000000001`)) }, pageTries, "not a list"},
		"no date":      {func(w http.ResponseWriter, _ int64) { _, _ = w.Write([]byte(`{"messages": [{"sid": "SM1"}]}`)) }, 1, "no date"},
		"a foreign page": {func(w http.ResponseWriter, _ int64) {
			next(w, "http://127.0.0.1:1/2010-04-01/Accounts/AC2/Messages.json?PageToken=1")
		}, 1, "next page"},
		"the same page":   {func(w http.ResponseWriter, _ int64) { next(w, "/2010-04-01/Accounts/AC1/Messages.json?PageSize=1000") }, 1, "next page"},
		"no place at all": {func(w http.ResponseWriter, _ int64) { next(w, "/2010-04-01/Accounts/AC1/Messages.json") }, 1, "next page"},
		"busy for a moment": {func(w http.ResponseWriter, n int64) {
			if n < pageTries {
				w.WriteHeader(429)
				return
			}
			_, _ = w.Write([]byte(`{"messages": []}`))
		}, pageTries, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &list{}
			l.before = func(w http.ResponseWriter, _ *http.Request) bool { c.answer(w, l.asked.Load()); return true }
			_, err := Run(t.Context(), dbtest.SQLite(t, sqldb.Options{}), Options{Now: noon.Time, Provider: l.account(t)})
			if l.asked.Load() != c.asked {
				t.Errorf("asked %d times", l.asked.Load())
			}
			if c.says == "" && err == nil {
				return
			}
			if !errors.Is(err, ErrProvider) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v", err)
			}
			for _, hidden := range []string{"+82", "http://", "AC1", "token=", "PageSize"} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("%v shows %s", err, hidden)
				}
			}
		})
	}
}

// next answers with a page of one young text and the URI of another.
func next(w http.ResponseWriter, uri string) {
	_ = json.NewEncoder(w).Encode(listedPage{Messages: []listedText{listed(sidOf(1), phoneOf(1), "x", time.Minute)}, Next: &uri})
}

// TestProviderWaits: what the provider asks for is waited for, within a bound, and no longer than the context lives.
func TestProviderWaits(t *testing.T) {
	t.Parallel()
	l := &list{}
	l.before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", fmt.Sprint([]int{0, 0, 9, 5000, 0}[l.asked.Load()-1]))
		w.WriteHeader(429)
		return true
	}
	p := l.account(t)
	var waits []time.Duration
	p.pause = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	if _, err := Run(t.Context(), dbtest.SQLite(t, sqldb.Options{}), Options{Now: noon.Time, Provider: p}); !errors.Is(err, ErrProvider) {
		t.Errorf("%v", err)
	}
	if got := fmt.Sprint(waits); got != "[1s 2s 9s 30s]" {
		t.Errorf("waited %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := new(Provider).sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
