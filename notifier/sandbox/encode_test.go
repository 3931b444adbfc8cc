package sandbox

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// resource is a text as Twilio's API shows it, as encoding/json would write it.
type resource struct {
	Body         string            `json:"body"`
	NumSegments  string            `json:"num_segments"`
	Direction    string            `json:"direction"`
	From         *string           `json:"from"`
	DateUpdated  string            `json:"date_updated"`
	Price        *string           `json:"price"`
	ErrorMessage *string           `json:"error_message"`
	URI          string            `json:"uri"`
	AccountSID   string            `json:"account_sid"`
	NumMedia     string            `json:"num_media"`
	To           string            `json:"to"`
	DateCreated  string            `json:"date_created"`
	Status       Status            `json:"status"`
	SID          string            `json:"sid"`
	DateSent     *string           `json:"date_sent"`
	ServiceSID   *string           `json:"messaging_service_sid"`
	ErrorCode    *int              `json:"error_code"`
	PriceUnit    string            `json:"price_unit"`
	APIVersion   string            `json:"api_version"`
	Subresources map[string]string `json:"subresource_uris"`
}

func resourceOf(m Message) resource {
	path := messagesPath(m.Account) + "/" + m.SID
	r := resource{
		Body: m.Body, NumSegments: "1", Direction: "outbound-api", From: &m.From, DateUpdated: m.UpdatedAt.UTC().Format(time.RFC1123Z),
		URI: path + ".json", AccountSID: m.Account, NumMedia: "0", To: m.To, DateCreated: m.At.UTC().Format(time.RFC1123Z),
		Status: m.Status, SID: m.SID, PriceUnit: "USD", APIVersion: "2010-04-01", Subresources: map[string]string{"media": path + "/Media.json"},
	}
	if m.Status == Accepted {
		r.NumSegments, r.From = "0", nil
	}
	if m.Service != "" {
		r.ServiceSID = &m.Service
	}
	if !m.SentAt.IsZero() {
		r.DateSent = new(m.SentAt.UTC().Format(time.RFC1123Z))
	}
	if m.ErrorCode != 0 {
		r.ErrorCode, r.ErrorMessage = &m.ErrorCode, new(reasonOf(m.ErrorCode, false))
	}
	return r
}

// drawMessage is a text of any kind, with short bodies so that each is one segment.
func drawMessage(t *rapid.T) Message {
	words := rapid.StringOfN(rapid.Rune(), 0, 30, -1)
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	span := rapid.Custom(func(t *rapid.T) Duration { return Duration(rapid.Int64Range(0, 1e13).Draw(t, "span")) })
	m := Message{
		Entry: Entry{Seq: rapid.Int64Min(1).Draw(t, "seq"), SID: newSID(), To: words.Draw(t, "to"), From: words.Draw(t, "from"), Body: words.Draw(t, "body"),
			Token: words.Draw(t, "token"), Callback: words.Draw(t, "callback"), At: instant.Draw(t, "at"), Account: DefaultAccountSID,
			Service: words.Draw(t, "service"), Validity: rapid.IntRange(0, validityMax).Draw(t, "validity"),
			Fate: Fate{Final: words.Draw(t, "final"), FinalAfter: span.Draw(t, "after"), Callbacks: words.Draw(t, "callbacks"),
				LateBy: span.Draw(t, "late"), ListLag: span.Draw(t, "list"), FetchLag: span.Draw(t, "fetch")}},
		Status:    rapid.SampledFrom([]Status{Accepted, Queued, Sent, Delivered, Undelivered, Failed}).Draw(t, "status"),
		ErrorCode: rapid.SampledFrom([]int{0, 30003, 31999}).Draw(t, "code"), UpdatedAt: instant.Draw(t, "updated"),
	}
	if rapid.Bool().Draw(t, "was sent") {
		m.SentAt = instant.Draw(t, "sent")
	}
	return m
}

// same holds JSON made by hand against what encoding/json makes of v.
func same(t *rapid.T, got []byte, v any) {
	t.Helper()
	want, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Fatalf("encoding/json is -, ours +\n%s", diff)
	}
}

func TestEncodingIsThatOfEncodingJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		line := appendEntry(nil, &m.Entry)
		same(t, line, m.Entry)
		var back Entry
		if err := json.Unmarshal(line, &back); err != nil || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("%v in %q", err, line)
		}
		if diff := cmp.Diff(m.Entry, back); diff != "" {
			t.Fatal(diff)
		}
		same(t, appendResource(nil, &m), resourceOf(m))
		l := stateLine{SID: m.SID, Status: m.Status, Code: m.ErrorCode, Sent: m.SentAt, At: m.UpdatedAt}
		same(t, appendState(nil, &l), l)
	})
}

// TestEntryKnowsAllFields: a field that is added to Entry must be added to appendEntry and to drawMessage.
func TestEntryKnowsAllFields(t *testing.T) {
	t.Parallel()
	full := Message{Entry: Entry{Seq: 1, Validity: 1, At: time.Unix(1, 1).UTC(), Fate: Fate{FinalAfter: 1, LateBy: 1, ListLag: 1, FetchLag: 1}}}
	v := reflect.ValueOf(&full.Entry).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Type.Kind() == reflect.String {
			v.FieldByIndex(f.Index).SetString("x")
		}
	}
	want, err := json.Marshal(full.Entry)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(appendEntry(nil, &full.Entry)); got != string(want)+"\n" {
		t.Errorf("ours %s\nencoding/json %s", got, want)
	}
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "한글\n\"\\", "\x00\x1f\x7f\u2028", "\xff\xc3\x28", "a\xf0\x9f\x98\x80b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		want, _ := json.Marshal(s)
		var same string
		if err := json.Unmarshal(want, &same); err != nil || got != same {
			t.Errorf("%q became %q, with encoding/json %q", s, got, same)
		}
		if got, want := string(appendEscaped(nil, s)), url.QueryEscape(s); got != want {
			t.Errorf("%q is escaped as %q, want %q", s, got, want)
		}
	})
}

// FuzzForm holds the form's parser against url.ParseQuery.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"", "To=%2B821&From=1588&Body=a+b%0A", "To=1&To=2", "To=&To=2", "a;b", "%54o=1", "Body=%", "&&=&To", "StatusCallback=http://x/%23rc=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw := []byte(s)
		got, err := parseForm(raw)
		for i := range raw {
			raw[i] = '#' // what it gave must not depend on the memory that it read
		}
		want, wantErr := url.ParseQuery(s)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("%q: %v, url.ParseQuery says %v", s, err, wantErr)
		}
		if err != nil {
			return
		}
		for name, value := range map[string]string{"To": got.to, "From": got.from, "Body": got.body, "StatusCallback": got.callback,
			"MessagingServiceSid": got.service, "ValidityPeriod": got.validity} {
			if value != want.Get(name) {
				t.Errorf("%q: %s is %q, want %q", s, name, value, want.Get(name))
			}
		}
	})
}

// FuzzTarget: whatever a StatusCallback is, callbacks go to this machine, and their request is one.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1:80/a/b?c=d#rc=2&rp=5xx", "https://[::1]/x", "http://localhost", "http://example.com", "http://127.0.0.1@evil/", "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y"} {
		f.Add(s)
	}
	w := newWriter("secret")
	f.Fuzz(func(t *testing.T, s string) {
		target, err := parseTarget(s)
		if err != nil {
			return
		}
		request := string(w.request(&target, &message{Entry: Entry{SID: "SM1", To: "+821"}}, call{status: Sent}))
		head, _, _ := strings.Cut(request, "\r\n\r\n")
		lines := strings.Split(head, "\r\n")
		if len(lines) != 7 || len(strings.Fields(lines[0])) != 3 || strings.ContainsAny(head, "#\x00") || strings.Count(head, "\n") != 6 || strings.Contains(target.signed, "#") {
			t.Errorf("%q makes %q", s, head)
		}
	})
}
