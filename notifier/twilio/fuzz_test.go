package twilio

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ansim/notifier"
)

// seeds are answers around the forms that we take.
var seeds = []string{
	plain, whole, `{"messages": [` + plain + `], "next_page_uri": null}`, `{"messages": [], "next_page_uri": "/x"}`,
	`{"messages": null}`, `{"messages": {}}`, `{"messages": [null]}`, `{"messages": [{}, {}]}`, `{"sid": "` + goodSID + `"}`,
	`{"sid": "` + goodSID + `", "SID": "` + goodSID + `"}`, `{"sid": null, "sid": "` + goodSID + `"}`, `{"sid": 1}`, `{"code": 21211}`,
	`{"code": "21211"}`, `{"code": 2.1211e4}`, `{"code": -21211}`, `{"code": 21211, "code": 21610}`, `{"error_code": 1e999}`, `{`, `[]`, `null`, ``,
	`{"to": "` + canary + `"}`, `{"to": "+1"}`, `{"date_created": "Sun, 26 Jul 2026 12:00:00 +0000"}`, strings.Repeat("[", 10_001), "\ufeff{}",
}

// FuzzAnswer: no answer of 201 is taken without a SID of the right form, no refusal without a code, and what is not for our
// account and number is not taken.
func FuzzAnswer(f *testing.F) {
	for _, s := range seeds {
		for _, status := range []int{0, 200, 201, 400, 404, 429, 500} {
			f.Add(status, []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		o := classify(&record{written: true, status: status, header: http.Header{}, body: body}, account, canary, time.Time{})
		switch {
		case o.Class == notifier.Accepted && (status != 201 || !isTextSID(o.SID) || o.Code != 0),
			o.Class == notifier.Rejected && (status < 400 || status > 499 || o.Code == 0 || o.Disposition == ""),
			o.Class == notifier.NotSent && status != 429,
			o.Class != notifier.Rejected && (o.Disposition != "" || o.Unlisted),
			o.Class != notifier.Accepted && o.SID != "", o.Class == "", o.Class != notifier.Accepted && o.Detail == "",
			o.Code != 0 && (o.Code < 10_000 || o.Code > 999_999):
			t.Errorf("%d %q: %+v", status, body, o)
		}
		if o.Class != notifier.Accepted {
			return
		}
		var shown map[string]any // the standard library's reading agrees
		if err := json.Unmarshal(body, &shown); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if a, ok := shown["account_sid"].(string); ok && a != "" && a != account {
			t.Errorf("%q is of another account", body)
		}
		if to, ok := shown["to"].(string); ok && !sameNumber(canary, to) {
			t.Errorf("%q is to another number", body)
		}
	})
}

// FuzzPage: what is taken of a page is bounded and in form.
func FuzzPage(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		texts, next, err := parsePage(body, canary)
		if err != nil {
			if texts != nil || next != "" {
				t.Errorf("%q: %+v beside %v", body, texts, err)
			}
			return
		}
		if len(texts) > pageSize {
			t.Errorf("%d texts", len(texts))
		}
		for _, s := range texts {
			wellFormed(t, s)
		}
	})
}

// FuzzText is the same for one text.
func FuzzText(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := parseText(body)
		if err != nil {
			if s != (notifier.Sighting{}) {
				t.Errorf("%q: %+v beside %v", body, s, err)
			}
			return
		}
		wellFormed(t, s)
	})
}

func wellFormed(t *testing.T, s notifier.Sighting) {
	t.Helper()
	if !isTextSID(s.SID) || s.ErrorCode < 0 || s.ErrorCode > 999_999 || (s.ErrorCode == 0) != (s.Disposition == "") ||
		s.Created.Location() != time.UTC {
		t.Errorf("%+v", s)
	}
}

// FuzzPlace: of a next page's URI nothing is taken but its place, and only from a list of our own account.
func FuzzPlace(f *testing.F) {
	const list = "/2010-04-01/Accounts/" + account + "/Messages.json"
	for _, s := range []string{list + "?Page=1&PageToken=PA1", list + "?To=%2B999&Page=1", list, list + "?Page=&PageToken=", list + "?Page=%zz",
		"https://evil.example" + list + "?Page=1", "//evil.example" + list + "?Page=1", list + "/../x?Page=1", "%2F2010-04-01?Page=1", "\x00", "?Page=1"} {
		f.Add(s)
	}
	p := &Provider{account: account}
	f.Fuzz(func(t *testing.T, uri string) {
		place, err := p.place(uri)
		if err != nil {
			if !errors.Is(err, ErrNotListed) || place != nil || (uri != "" && len(uri) > 40 && strings.Contains(err.Error(), uri)) {
				t.Errorf("%q: %v, %v", uri, place, err)
			}
			return
		}
		u, _ := url.Parse(uri)
		if u.Path != list || place.Get("Page")+place.Get("PageToken") == "" {
			t.Errorf("%q: %v", uri, place)
		}
	})
}

// FuzzStatusForm: what is taken has the forms that we rely on, and comes from a form in which nothing is doubled.
func FuzzStatusForm(f *testing.F) {
	f.Add(fields().Encode())
	f.Add(fields("ErrorCode", "30003").Encode() + "&ErrorCode=")
	f.Add("AccountSid=" + account + "&MessageSid=" + goodSID + "&MessageStatus=sent")
	f.Add("AccountSid=" + account + "&MessageSid=" + goodSID + "&MessageStatus=sent&Error=Code30003")
	f.Add("%4dessageStatus=sent&MessageStatus=failed;")
	f.Add(strings.Repeat("a=&", 100))
	f.Fuzz(func(t *testing.T, body string) {
		r, err := ParseStatusForm(body, account)
		if err != nil {
			noCanary(t, err.Error())
			return
		}
		v, _ := url.ParseQuery(body)
		if !isTextSID(r.SID) || r.Token != "" || r.ErrorCode < 0 || r.ErrorCode > 999_999 || (r.ErrorCode == 0) != (r.Disposition == "") ||
			len(v["MessageStatus"]) != 1 || v.Get("MessageStatus") != r.Status || v.Get("AccountSid") != account ||
			len(v) > maxFields || !slices.Contains(statuses, r.Status) {
			t.Errorf("%q: %+v", body, r)
		}
	})
}

// FuzzRetryAfter: whatever the header says, the pause is bounded.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "5", "-5", "99999999999999999999", "1e3", " 7 ", "Sun, 26 Jul 2026 10:00:30 GMT", "Sun, 26 Jul 9999 10:00:30 GMT",
		"Sunday, 26-Jul-26 10:00:30 GMT", "Sun Jul 26 10:00:30 2026", "\x00", "０５"} {
		f.Add(s)
	}
	now := time.Date(2026, 7, 26, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, v string) {
		if d := retryAfter(v, now); d < 0 || d > longestRetryAfter {
			t.Errorf("%q: %s", v, d)
		}
	})
}

// TestShiftedBoundaries: of all forms that are signed alike, whatever their boundaries, those that are taken say the same.
func TestShiftedBoundaries(t *testing.T) {
	t.Parallel()
	v := fields("ErrorCode", "30003", "MessageStatus", "undelivered", "SmsStatus", "undelivered")
	form := map[string]string{}
	for k := range v {
		form[k] = v.Get(k)
	}
	signed := signedFields(form)
	want, err := statusOf(form, account)
	if err != nil {
		t.Fatal(err)
	}
	var honest []int // where keys and values end
	end := 0
	for _, k := range slices.Sorted(maps.Keys(form)) {
		honest = append(honest, end+len(k), end+len(k)+len(form[k]))
		end = honest[len(honest)-1]
	}
	rapid.Check(t, func(t *rapid.T) {
		ends := slices.Clone(honest)
		for range rapid.IntRange(1, 3).Draw(t, "moves") {
			at := rapid.IntRange(0, len(ends)-2).Draw(t, "at") // the last one stays
			ends[at] += rapid.IntRange(-12, 12).Draw(t, "by")
			if rapid.Bool().Draw(t, "both") && at+2 < len(ends) { // a field more or less
				ends = slices.Delete(ends, at, at+2)
			}
		}
		if !slices.IsSorted(ends) || ends[0] < 0 || len(ends)%2 != 0 {
			t.Skip("no form")
		}
		shifted := map[string]string{}
		start := 0
		for i := 0; i < len(ends); i += 2 {
			shifted[signed[start:ends[i]]] = signed[ends[i]:ends[i+1]]
			start = ends[i+1]
		}
		if signedFields(shifted) != signed {
			t.Skip("signed otherwise")
		}
		got, err := statusOf(shifted, account)
		if err == nil {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%v says otherwise: %s", shifted, diff)
			}
		}
	})
}
