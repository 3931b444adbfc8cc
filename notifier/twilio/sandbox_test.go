package twilio

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"ansim/notifier"
	"ansim/notifier/sandbox"
	"ansim/schema/personal"
)

// TestAgainstTheSandbox: a stand-in that was written without looking at this package takes our requests, pages its list as
// we read it, and signs callbacks that we believe.
func TestAgainstTheSandbox(t *testing.T) {
	t.Parallel()
	const texts = 120
	phones, err := sandbox.New(sandbox.Options{SentAfter: [2]time.Duration{0, 1}, DeliveredAfter: [2]time.Duration{0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(phones)
	back := httptest.NewUnstartedServer(nil)
	var mu sync.Mutex
	delivered, all := map[string]string{}, make(chan struct{})
	public := "http://" + back.Listener.Addr().String()
	back.Config.Handler, err = NewCallback(CallbackOptions{AccountSID: phones.AccountSID(), Tokens: []string{phones.AuthToken()}, PublicURL: public,
		Receive: func(_ context.Context, r Receipt) error {
			mu.Lock()
			defer mu.Unlock()
			if _, again := delivered[r.Token]; r.Status == "delivered" && !again {
				if delivered[r.Token] = r.SID; len(delivered) == texts {
					close(all)
				}
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	back.Start()
	t.Cleanup(func() { _ = phones.Close(); api.Close(); back.Close() })
	p, err := New(Options{AccountSID: phones.AccountSID(), AuthToken: phones.AuthToken(), From: "+8225550100", BaseURL: api.URL, PublicURL: public})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	start := time.Now()
	sids := map[string]string{} // by token
	for i := range texts {
		text := aText()
		text.Body, text.Token = fmt.Sprintf("text %d", i), fmt.Sprintf("%032x", i)
		o := p.Send(t.Context(), text)
		if o.Class != notifier.Accepted {
			t.Fatalf("%+v", o)
		}
		sids[text.Token] = o.SID
	}
	found, err := p.Find(t.Context(), canary, start.Add(-time.Minute), time.Now())
	if err != nil || len(found) != texts {
		t.Fatalf("%d texts, %v", len(found), err)
	}
	listed := map[string]string{}
	for _, s := range found {
		listed[s.Body] = s.SID
	}
	for i := range texts {
		if listed[fmt.Sprintf("text %d", i)] != sids[fmt.Sprintf("%032x", i)] {
			t.Errorf("text %d is listed as another", i)
		}
	}
	select {
	case <-all:
	case <-short(t, patience).Done():
		t.Fatalf("callbacks of %d texts", len(delivered))
	}
	mu.Lock()
	defer mu.Unlock()
	for tok, sid := range sids {
		if delivered[tok] != sid {
			t.Errorf("a callback names another text")
		}
	}
	if o := p.Send(t.Context(), notifier.Text{To: personal.Phone("+15005550004"), Body: "x", Token: token}); o.Disposition != notifier.OptedOut || o.Code != 21610 {
		t.Errorf("%+v", o)
	}
}
