package twilio

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
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
			got, err := provider(t, lists(t, c.total, &seen).URL).Find(t.Context(), canary, noon.Add(-c.since))
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
		"pages without end":     {200, page(string(whole), `"/2010-04-01/Accounts/`+account+`/Messages.json?Page=1&PageToken=PA1"`)},
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
			got, err := provider(t, s.URL).Find(t.Context(), canary, time.Time{})
			if !errors.Is(err, ErrNotListed) {
				t.Fatalf("%v, %v", got, err)
			}
			noCanary(t, err.Error())
			if asked.Load() > maxPages {
				t.Errorf("asked %d times", asked.Load())
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(http.NotFoundHandler())
		s.Close()
		_, err := provider(t, s.URL).Find(t.Context(), canary, time.Time{})
		if !errors.Is(err, ErrNotListed) {
			t.Fatal(err)
		}
		noCanary(t, err.Error())
	})
}
