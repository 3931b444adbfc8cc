package twilio

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/notifier"
)

var noon = time.Date(2026, 7, 26, 12, 0, 0, 0, time.UTC)

func sid(n int) string { return fmt.Sprintf("SM%032x", n) }

// entry is a text of the list, n seconds before noon.
func entry(n int) map[string]any {
	return map[string]any{
		"sid": sid(n), "body": fmt.Sprintf("text %d", n), "status": "sent", "error_code": nil, "to": canary,
		"date_created": noon.Add(-time.Duration(n) * time.Second).Format(time.RFC1123Z), "date_sent": nil,
	}
}

// lists serves total texts, newest first, in pages as Twilio does.
func lists(t *testing.T, total int, seen *[]url.Values) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		*seen = append(*seen, q)
		page := 0
		if v := q.Get("PageToken"); v != "" {
			_, _ = fmt.Sscanf(v, "PA%d", &page)
		}
		messages := []map[string]any{}
		for n := page * 50; n < min(total, page*50+50); n++ {
			messages = append(messages, entry(n))
		}
		out := map[string]any{"messages": messages, "page": page, "page_size": 50, "next_page_uri": nil}
		if page*50+50 < total {
			out["next_page_uri"] = fmt.Sprintf("/2010-04-01/Accounts/%s/Messages.json?To=%%2B999&PageSize=50&Page=%d&PageToken=PA%d", account, page+1, page+1)
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestFind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		total         int
		since         time.Duration // before noon
		pages, length int
	}{
		"none":               {0, time.Hour, 1, 0},
		"one page":           {3, time.Hour, 1, 3},
		"all pages":          {120, time.Hour, 3, 120},
		"down to since":      {300, 75 * time.Second, 3, 76},
		"only older ones":    {300, -time.Second, 1, 0},
		"as many as we read": {1000, time.Hour, 20, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen []url.Values
			got, err := provider(t, lists(t, c.total, &seen).URL).Find(t.Context(), canary, noon.Add(-c.since), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != c.length || len(seen) != c.pages {
				t.Errorf("%d texts on %d pages, want %d on %d", len(got), len(seen), c.length, c.pages)
			}
			for i, s := range got {
				want := notifier.Sighting{SID: sid(i), Body: fmt.Sprintf("text %d", i), Status: "sent", Created: noon.Add(-time.Duration(i) * time.Second)}
				if diff := cmp.Diff(want, s); diff != "" {
					t.Fatal(diff)
				}
			}
			for _, q := range seen {
				if q.Get("To") != canary || q.Get("PageSize") != "50" || strings.Contains(fmt.Sprint(q), "DateSent") {
					t.Errorf("asked %v", q)
				}
			}
		})
	}
}

// TestFindKnowsNothing: whatever is not a list that was read to its end is an error, and none holds the number.
func TestFindKnowsNothing(t *testing.T) {
	t.Parallel()
	page := func(messages, next string) string {
		return fmt.Sprintf(`{"messages": [%s], "next_page_uri": %s}`, messages, next)
	}
	whole, _ := json.Marshal(entry(1))
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"500":                   {500, ""},
		"429":                   {429, twilioError(429, 20429)},
		"401":                   {401, `{"code": 20003, "message": "` + canary + `"}`},
		"302":                   {302, page("", "null")},
		"HTML":                  {200, "<html>" + canary},
		"no list":               {200, "{}"},
		"null list":             {200, `{"messages": null}`},
		"cut":                   {200, page(string(whole), "null")[:80]},
		"too large":             {200, page("", `"`+strings.Repeat("x", 2<<20)+`"`)},
		"an entry without SID":  {200, page(`{"date_created": "Sun, 26 Jul 2026 12:00:00 +0000"}`, "null")},
		"an entry without date": {200, page(`{"sid": "`+goodSID+`"}`, "null")},
		"a foreign next page":   {200, page(string(whole), `"http://evil.example/2010-04-01/Accounts/x/Messages.json?Page=1"`)},
		"a next page nowhere":   {200, page(string(whole), `"/2010-04-01/Accounts/`+account+`/Messages.json"`)},
		"the same page again":   {200, page(string(whole), `"/2010-04-01/Accounts/`+account+`/Messages.json?Page=1&PageToken=PA1"`)},
		"empty pages":           {200, page("", `"/2010-04-01/Accounts/`+account+`/Messages.json?Page=1&PageToken=PA1"`)},
		"a longer page":         {200, page(strings.Repeat(string(whole)+",", pageSize)+string(whole), "null")},
		"a million entries":     {200, page(strings.Repeat("{},", 300_000)+"{}", "null")},
		"a code of letters":     {200, page(strings.Replace(string(whole), `"error_code":null`, `"error_code":"30003"`, 1), "null")},
		"a code below zero":     {200, page(strings.Replace(string(whole), `"error_code":null`, `"error_code":-1`, 1), "null")},
		"a code of 20 digits":   {200, page(strings.Replace(string(whole), `"error_code":null`, `"error_code":30003300033000330003`, 1), "null")},
		"a code like 1e4":       {200, page(strings.Replace(string(whole), `"error_code":null`, `"error_code":1e4`, 1), "null")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			t.Cleanup(s.Close)
			got, err := provider(t, s.URL).Find(t.Context(), canary, time.Time{}, time.Now())
			if !errors.Is(err, ErrNotListed) {
				t.Fatalf("%v, %v", got, err)
			}
			noCanary(t, err.Error())
			if asked.Load() > 2 { // a second page that brings nothing new is the last
				t.Errorf("asked %d times", asked.Load())
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		_, err := provider(t, nobody).Find(t.Context(), canary, time.Time{}, time.Now())
		if !errors.Is(err, ErrNotListed) {
			t.Fatal(err)
		}
		noCanary(t, err.Error())
	})
}

// shifting serves pages that overlap, as a list does that grows while it is read, and then what last says of page n.
func shifting(t *testing.T, last func(n int) (status int, body string)) *httptest.Server {
	t.Helper()
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := int(asked.Add(1)) - 1
		if status, body := last(n); status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return
		}
		var messages []map[string]any
		for i := n * 45; i < n*45+50; i++ { // five of the page before
			messages = append(messages, entry(i))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"messages": messages,
			"next_page_uri": fmt.Sprintf("/2010-04-01/Accounts/%s/Messages.json?Page=%d", account, n+1)})
	}))
	t.Cleanup(s.Close)
	return s
}

// TestFindSome: what was read of a list that broke off is there beside the error, each text once, the newest first.
func TestFindSome(t *testing.T) {
	t.Parallel()
	never := func(int) (int, string) { return 0, "" }
	for name, c := range map[string]struct {
		last func(n int) (int, string)
		want int
		says string
	}{
		"the first page breaks":      {func(int) (int, string) { return 503, "" }, 0, "status 503"},
		"the third page breaks":      {func(n int) (int, string) { return map[bool]int{n == 2: 503}[true], "" }, 95, "status 503"},
		"a page of junk":             {func(n int) (int, string) { return map[bool]int{n == 1: 200}[true], `{"messages": [{"sid": "x"}]}` }, 50, "unreadable"},
		"a page that says throttled": {func(n int) (int, string) { return map[bool]int{n == 1: 429}[true], twilioError(429, 20429) }, 50, "status 429"},
		"more than is ever read":     {never, 20*45 + 5, "more than 20 pages"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := provider(t, shifting(t, c.last).URL).Find(t.Context(), canary, time.Time{}, time.Now())
			if !errors.Is(err, ErrNotListed) || !strings.HasSuffix(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if len(got) != c.want || len(got) > maxPages*pageSize {
				t.Fatalf("%d texts, want %d", len(got), c.want)
			}
			for i, s := range got {
				if s.SID != sid(i) {
					t.Fatalf("text %d is %s", i, s.SID)
				}
			}
		})
	}
}

// TestFindNewestFirst: the order holds also when the list has none.
func TestFindNewestFirst(t *testing.T) {
	t.Parallel()
	s := shifting(t, func(int) (int, string) {
		body, _ := json.Marshal(map[string]any{"messages": []any{entry(2), entry(0), entry(900), entry(1)}})
		return http.StatusOK, string(body)
	})
	got, err := provider(t, s.URL).Find(t.Context(), canary, noon.Add(-time.Minute), time.Now())
	if err != nil || len(got) != 3 || got[0].SID != sid(0) || got[1].SID != sid(1) || got[2].SID != sid(2) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestFindByAnotherClock: the list's times are given by the clock of whoever asks, however wrong one of the two is.
func TestFindByAnotherClock(t *testing.T) {
	t.Parallel()
	const off = 10 * time.Minute
	for name, c := range map[string]struct {
		date    time.Time // that the provider says at noon, none when zero
		created time.Duration
		want    time.Duration // both after noon
	}{
		"as ours":                            {noon.Add(time.Second), -time.Minute, -time.Minute},
		"a little apart":                     {noon.Add(9 * time.Second), -time.Minute, -time.Minute},
		"ahead":                              {noon.Add(off), off - time.Minute, -time.Minute},
		"behind":                             {noon.Add(-off), -off - time.Minute, -time.Minute},
		"it does not say":                    {time.Time{}, off - time.Minute, off - time.Minute},
		"an answer that was kept on the way": {noon.Add(-off), -time.Minute, -time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { findByAnotherClock(t, c.date, noon.Add(c.created), noon.Add(c.want)) })
		})
	}
}

// findByAnotherClock finds a text of a provider that says date and created. It plays in a bubble's time, so that our clock still says
// noon when the answer has come.
func findByAnotherClock(t *testing.T, date, created, want time.Time) {
	p := provider(t, "http://provider.test")
	inMemory(p, func(n *network, c net.Conn, r *bufio.Reader) {
		if !n.read(r) {
			return
		}
		header := ""
		if !date.IsZero() {
			header = "Date: " + date.Format(http.TimeFormat) + "\r\n"
		}
		young, old := entry(0), entry(1)
		young["date_created"] = created.Format(time.RFC1123Z)
		old["date_created"] = created.Add(-time.Hour).Format(time.RFC1123Z)
		body, _ := json.Marshal(map[string]any{"messages": []any{young, old}})
		_, _ = io.WriteString(c, http1(http.StatusOK, header, string(body)))
	})
	got, err := p.Find(t.Context(), canary, noon.Add(-20*time.Minute), noon)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d texts, error %v", len(got), err)
	}
	if !got[0].Created.Equal(want) {
		t.Errorf("created at %s, want %s", got[0].Created, want)
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	text := func(change ...any) string {
		m := entry(1)
		for i := 0; i < len(change); i += 2 {
			m[change[i].(string)] = change[i+1]
		}
		b, _ := json.Marshal(m)
		return string(b)
	}
	seen := notifier.Sighting{SID: sid(1), Body: "text 1", Status: "sent", Created: noon.Add(-time.Second)}
	ended := seen
	ended.Status, ended.ErrorCode, ended.Disposition = "undelivered", 30005, notifier.Permanent
	unlisted := ended
	unlisted.ErrorCode, unlisted.Disposition = 39_999, notifier.Later
	for name, c := range map[string]struct {
		status int
		body   string
		want   notifier.Sighting
		err    error
		says   string
	}{
		"there":                   {200, text(), seen, nil, ""},
		"ended":                   {200, text("status", "undelivered", "error_code", 30005), ended, nil, ""},
		"ended by a new code":     {200, text("status", "undelivered", "error_code", 39_999), unlisted, nil, ""},
		"no such text":            {404, `{"code": 20404, "message": "about ` + canary + `"}`, notifier.Sighting{}, notifier.ErrNoSuchText, ""},
		"404 with another code":   {404, `{"code": 20003}`, notifier.Sighting{}, ErrNotFetched, "status 404"},
		"404 with the code twice": {404, `{"code": 20404, "code": 20404}`, notifier.Sighting{}, ErrNotFetched, "status 404"},
		"404 of a proxy":          {404, `<html>` + canary, notifier.Sighting{}, ErrNotFetched, "status 404"},
		"20404 with 200":          {200, `{"code": 20404}`, notifier.Sighting{}, ErrNotFetched, "unreadable"},
		"20404 with 410":          {410, `{"code": 20404}`, notifier.Sighting{}, ErrNotFetched, "status 410"},
		"another text":            {200, text("sid", sid(2)), notifier.Sighting{}, ErrNotFetched, "another text"},
		"a text in small letters": {200, text("sid", strings.ToLower(sid(1))), notifier.Sighting{}, ErrNotFetched, "unreadable"},
		"no date":                 {200, text("date_created", nil), notifier.Sighting{}, ErrNotFetched, "unreadable"},
		"a list":                  {200, `{"messages": [` + text() + `]}`, notifier.Sighting{}, ErrNotFetched, "unreadable"},
		"401":                     {401, `{"code": 20003, "message": "` + canary + `"}`, notifier.Sighting{}, ErrNotFetched, "status 401"},
		"429":                     {429, `{"code": 20429}`, notifier.Sighting{}, ErrNotFetched, "status 429"},
		"503":                     {503, canary, notifier.Sighting{}, ErrNotFetched, "status 503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if want := "/2010-04-01/Accounts/" + account + "/Messages/" + sid(1) + ".json"; r.Method != http.MethodGet || r.RequestURI != want {
					t.Errorf("asked %s %s, want %s", r.Method, r.RequestURI, want)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			t.Cleanup(s.Close)
			got, err := provider(t, s.URL).Fetch(t.Context(), sid(1))
			if !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			if err != nil {
				noCanary(t, err.Error())
				if !strings.HasSuffix(err.Error(), c.says) || (errors.Is(err, notifier.ErrNoSuchText) && errors.Is(err, ErrNotFetched)) {
					t.Errorf("%v, want %q", err, c.says)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestFetchAsksForTextsAlone: what is no SID does not become a part of a path.
func TestFetchAsksForTextsAlone(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked %s", r.RequestURI) }))
	t.Cleanup(s.Close)
	p := provider(t, s.URL)
	for _, id := range []string{"", "x", "../../" + account, goodSID + "/Media", goodSID + "?x=1", goodSID[:33], strings.ToUpper(goodSID),
		"CA" + goodSID[2:], "SM" + strings.Repeat("é", 16), canary} {
		if _, err := p.Fetch(t.Context(), id); !errors.Is(err, ErrNotFetched) || strings.Contains(err.Error(), "821055501234") {
			t.Errorf("%q: %v", id, err)
		}
	}
}
