package notifier_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"ansim/notifier"
	"ansim/notifier/sandbox"
	"ansim/notifier/twilio"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// lie is a callback that proves nothing, and the answer to it.
type lie struct {
	name   string
	token  string // of the attempt, in the URL
	form   map[string]string
	raw    string // the body, when it is no form of once-only fields
	secret string // that it is signed with
	want   int
}

// lies are all that tell of a delivery of the text x, which the network has taken.
func (r *rig) lies(x sandbox.Message, other sandbox.Message) []lie {
	account, secret := r.phones.AccountSID(), r.phones.AuthToken()
	form := func(change map[string]string) map[string]string {
		f := map[string]string{"AccountSid": account, "MessageSid": x.SID, "MessageStatus": "delivered", "SmsSid": x.SID, "SmsStatus": "delivered"}
		maps.Copy(f, change)
		return f
	}
	thousand := map[string]string{}
	for i := range 1000 {
		thousand["Key"+strings.Repeat("a", i/26)+string(rune('a'+i%26))] = "x"
	}
	nobody := hex.EncodeToString(make([]byte, 16))
	twice := url.Values{"AccountSid": {account}, "MessageSid": {x.SID, other.SID}, "MessageStatus": {"delivered"}}
	return []lie{
		{"a token of nobody's", nobody, form(nil), "", secret, http.StatusNotFound},
		{"another attempt's text", x.Token, form(map[string]string{"MessageSid": other.SID, "SmsSid": other.SID}), "", secret, http.StatusNotFound},
		{"another account", x.Token, form(map[string]string{"AccountSid": "AC" + nobody}), "", secret, http.StatusBadRequest},
		{"a thousand keys", x.Token, form(thousand), "", secret, http.StatusBadRequest},
		{"another's signature", x.Token, form(nil), "", "guessed", http.StatusForbidden},
		{"a word of nobody's", x.Token, form(map[string]string{"MessageStatus": "arrived", "SmsStatus": "arrived"}), "", secret, http.StatusBadRequest},
		{"a field twice", x.Token, nil, twice.Encode(), secret, http.StatusBadRequest},
		{"a megabyte", x.Token, nil, strings.Repeat("a", 1<<20), secret, http.StatusRequestEntityTooLarge},
	}
}

// tell posts a lie and gives the status of the answer, 0 when there was none: a body that is too long may cost the connection.
func (r *rig) tell(ctx context.Context, client *http.Client, l lie) (int, error) {
	target, body := r.back.URL+twilio.StatusPath+l.token, l.raw
	if l.form != nil {
		values := url.Values{}
		for k, v := range l.form {
			values.Set(k, v)
		}
		body = values.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Twilio-Signature", twilio.Sign(l.secret, target, l.form))
	res, err := client.Do(req)
	if err != nil {
		return 0, nil //nolint:nilerr // see above
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// TestLyingCallbacksProveNothing: ten times a second each, callbacks tell of deliveries: of unknown attempts, in the name of
// another account, with a thousand keys, unsigned … None is believed, and the texts of others go on.
func TestLyingCallbacksProveNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		r.faults(sandbox.Rule{Callbacks: sandbox.CallbacksNone, Final: "sent", Count: 2})
		r.start()
		about, other := r.reservation(1), r.reservation(2)
		r.deliver(r.event(about, event.Booked, 1), r.event(other, event.Booked, 1))
		r.untilAllAccepted(about, other)
		texts := r.phones.Texts()
		lies := r.lies(texts[0], texts[1])
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: len(lies)}}
		defer client.CloseIdleConnections()
		ctx, stop := context.WithCancel(t.Context())
		var telling sync.WaitGroup
		told := make([]int, len(lies)) // times; each of its own goroutine until it has ended
		for i, l := range lies {
			telling.Go(func() {
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for {
					status, err := r.tell(context.WithoutCancel(ctx), client, l)
					if err != nil || status != l.want && !(status == 0 && l.want == http.StatusRequestEntityTooLarge) {
						t.Errorf("%s: status %d, error %v, want %d", l.name, status, err, l.want)
						return
					}
					told[i]++
					select {
					case <-tick.C:
					case <-ctx.Done():
						return
					}
				}
			})
		}
		ids := make([]string, 200)
		for i := range ids {
			ids[i] = r.reservation(10 + i)
			r.deliver(r.event(ids[i], event.Booked, 1))
		}
		r.untilState(notifier.StateDelivered, ids...)
		stop()
		telling.Wait()
		for i, l := range lies {
			if told[i] == 0 {
				t.Errorf("%s: was never told", l.name)
			}
		}
		for _, id := range []string{about, other} {
			if got := r.texts(id)[0]; got.State != notifier.StateAccepted || got.DeliveredAt != nil {
				t.Errorf("a lie was believed: the text is %s", got.State)
			}
		}
		var receipts []string
		r.query(&receipts, `SELECT status FROM receipt WHERE provider_sid IN (?, ?)`, texts[0].SID, texts[1].SID)
		if len(receipts) != 0 {
			t.Errorf("receipts are stored: %v", receipts)
		}
		r.exactlyOne(append(ids, about, other)...)
		t.Log(fmt.Sprint("told ", told, " times"))
	})
}
