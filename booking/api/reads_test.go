package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"ansim/booking"
)

func TestEligibility(t *testing.T) {
	t.Parallel()
	r := newRig(t) // at the opening
	const path = "/v1/programmes/covid-2021-50s/eligibility"
	ask := func(birthDate string) answer {
		a := r.do("POST", path, `{"birth_date": "`+birthDate+`"}`)
		if a.status != 200 {
			t.Errorf("%s: %d %s", birthDate, a.status, a.raw)
		}
		return a
	}
	open := ask("1967-03-21")
	if open.at("eligible") != true || open.at("bookable_now") != true || open.at("rule") != "born-1967-1968" || open.at("next_window") != nil ||
		open.at("opens_at") != "2021-07-19T20:00:00+09:00" || open.at("closes_at") != "2021-07-24T18:00:00+09:00" || open.at("server_time") != "2021-07-19T20:00:00+09:00" {
		t.Errorf("open: %s", open.raw)
	}
	later := ask("1969-12-31")
	if later.at("eligible") != true || later.at("bookable_now") != false || later.at("rule") != "born-1969" || later.at("next_window", "opens_at") != "2021-07-21T20:00:00+09:00" {
		t.Errorf("later: %s", later.raw)
	}
	never := ask("1970-01-01")
	if never.at("eligible") != false || never.at("bookable_now") != false || never.at("rule") != nil || never.at("opens_at") != nil {
		t.Errorf("never: %s", never.raw)
	}
	r.problem(r.do("POST", "/v1/programmes/none/eligibility", `{"birth_date": "1967-03-21"}`), 404, "not-found")
	r.problem(r.do("POST", path, `{"birth_date": "1967-02-30"}`), 422, "validation")
	r.problem(r.do("POST", path, `{"birth_date": "2067-02-20"}`), 422, "validation")
	r.problem(r.do("POST", path, `{}`), 422, "validation")
	for _, date := range []string{"1967-03-21", "19670321", "1969-12-31", "1970-01-01", "1967-02-30", "2067-02-20"} {
		if log := r.log.String(); strings.Contains(log, date) {
			t.Errorf("the birth date %s is in the log: %s", date, log)
		}
	}
}

// Eligibility goes by the clock that decides bookings, not by that of the process which is asked.
func TestEligibilityOfAWrongClock(t *testing.T) {
	t.Parallel()
	opens := time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC)
	database := opens.Add(-time.Millisecond)
	cache := &programmeCache{list: func(context.Context) (booking.Catalogue, error) {
		return booking.Catalogue{Programmes: []booking.Programme{{ID: "p", OpensAt: opens, ClosesAt: opens.Add(time.Hour)}}, At: database}, nil
	}}
	process := func() time.Time { return opens.Add(40 * time.Minute) }
	for range 2 { // read, and from the cache
		list, now, err := cache.get(t.Context(), process)
		if err != nil || !now.Equal(database) || list[0].Eligible("1967-03-21", now).Open {
			t.Errorf("now is %v, open: %v, %v", now, list[0].Eligible("1967-03-21", now).Open, err)
		}
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const all = "/v1/slots?programme=covid-2021-50s"
	list := r.do("GET", all, "")
	want := `{"slots":[{"id":"gangnam-0726-1030","site":"gangnam","starts_at":"2021-07-26T10:30:00+09:00","capacity":2,"remaining":2},` +
		`{"id":"gangnam-0726-1100","site":"gangnam","starts_at":"2021-07-26T11:00:00+09:00","capacity":1,"remaining":1}],"as_of":"2021-07-19T20:00:00+09:00"}`
	if list.status != 200 || list.raw != want {
		t.Errorf("%d %s", list.status, list.raw)
	}
	tag := list.header.Get("Etag")
	for _, match := range []string{tag, strings.TrimPrefix(tag, "W/"), `"x", ` + tag, "*"} {
		if again := r.do("GET", all, "", "If-None-Match", match); again.status != http.StatusNotModified || again.raw != "" || again.header.Get("Etag") != tag {
			t.Errorf("If-None-Match %s: %d %s", match, again.status, again.raw)
		}
	}
	if other := r.do("GET", all, "", "If-None-Match", `W/"other"`); other.status != 200 {
		t.Errorf("another tag: %d", other.status)
	}

	first := r.do("GET", all+"&limit=1", "")
	cursor, _ := first.at("next_cursor").(string)
	second := r.do("GET", all+"&limit=1&cursor="+url.QueryEscape(cursor), "")
	if ids(first) != "gangnam-0726-1030" || ids(second) != "gangnam-0726-1100" || second.at("next_cursor") != nil {
		t.Errorf("pages %s and %s", first.raw, second.raw)
	}
	for query, want := range map[string]string{
		"&from=2021-07-26T02:00:00Z":      "gangnam-0726-1100",
		"&to=2021-07-26T11:00:00%2B09:00": "gangnam-0726-1030",
		"&site=gangnam":                   "gangnam-0726-1030 gangnam-0726-1100",
		"&site=none":                      "",
		"&from=0001-01-01T00:00:00Z&to=9999-12-31T00:00:00Z": "gangnam-0726-1030 gangnam-0726-1100",
	} {
		if got := r.do("GET", all+query, ""); got.status != 200 || ids(got) != want {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	if none := r.do("GET", "/v1/slots?programme=none", ""); none.status != 200 || ids(none) != "" {
		t.Errorf("no programme: %d %s", none.status, none.raw)
	}
	for query, field := range map[string]string{
		"":                                   "programme",
		"?programme=":                        "programme",
		"?programme=a&programme=b":           "programme",
		"?programme=a&form=2021":             "form",
		"?programme=a&from=2021-07-26":       "from",
		"?programme=a&from=2021-07-26T10:30": "from",
		"?programme=a&cursor=AAAA":           "cursor",
		"?programme=a&limit=0":               "limit",
		"?programme=a&limit=501":             "limit",
		"?programme=%zz":                     "query",
		"?programme=a&01012345678=1":         "?",
		"?programme=a&to=2021-07-26T00:00:00Z&from=2021-07-27T00:00:00Z": "to",
	} {
		bad := r.do("GET", "/v1/slots"+query, "")
		r.problem(bad, 422, "validation")
		if errs, _ := bad.at("errors").([]any); len(errs) == 0 || errs[0].(map[string]any)["field"] != field {
			t.Errorf("%q: %s", query, bad.raw)
		}
	}
}

// ids are the slots of a list, with a space between them.
func ids(a answer) string {
	slots, _ := a.at("slots").([]any)
	var all []string
	for _, s := range slots {
		all = append(all, s.(map[string]any)["id"].(string))
	}
	return strings.Join(all, " ")
}

// However many ask for a page at once, it is read once; and strangers cannot make the cache grow.
func TestSlotCache(t *testing.T) {
	t.Parallel()
	reads := make(chan booking.SlotQuery, 10_000)
	release := make(chan struct{})
	cache := newSlotCache(func(_ context.Context, q booking.SlotQuery) (booking.SlotPage, error) {
		reads <- q
		<-release
		return booking.SlotPage{More: true}, nil
	})
	done := make(chan error, 100)
	for range 100 {
		go func() {
			_, err := cache.get(t.Context(), booking.SlotQuery{Programme: "p", Limit: 1})
			done <- err
		}()
	}
	<-reads
	close(release)
	for range 100 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	// Those that came while it was read share it; who came late found it kept, unless a second went by.
	if n := len(reads); n > 50 {
		t.Errorf("%d more reads", n)
	}
	for i := range 3 * maxSlotPages {
		if _, err := cache.get(t.Context(), booking.SlotQuery{Programme: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(cache.pages); n > maxSlotPages {
		t.Errorf("%d pages are kept", n)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	booked := r.do("POST", "/v1/reservations", personBody("p1", "gangnam-0726-1030", "1967-03-21"), headerKey, "k1")
	code, _ := booked.at("code").(string)
	look := func(code, birthDate string) answer {
		return r.do("POST", "/v1/lookup", `{"code": "`+code+`", "birth_date": "`+birthDate+`"}`, "Authorization", "")
	}
	found := look(strings.ToLower(strings.ReplaceAll(code, "-", "")), "1967-03-21")
	if found.status != 200 || found.at("status") != "confirmed" || found.at("code") != code || found.at("programme", "ko") != "코로나19 예방접종" ||
		found.at("site", "en") != "Gangnam Health Center" || found.at("slot", "starts_at") != "2021-07-26T10:30:00+09:00" || found.at("resident", "name") != "홍**" ||
		found.at("confirmation", "state") != "pending" || found.at("id") != nil || found.header.Get("Cache-Control") != "no-store" {
		t.Errorf("found: %d %s", found.status, found.raw)
	}
	wrong, none := look(code, "1967-03-22"), look("00000-00000", "1967-03-21")
	r.problem(wrong, 404, "not-found")
	if wrong.raw != none.raw || wrong.status != none.status {
		t.Errorf("a wrong date and a code that does not exist are told apart:\n%s\n%s", wrong.raw, none.raw)
	}
	for range 9 {
		r.problem(look(code, "1967-03-22"), 404, "not-found")
	}
	limited := look(code, "1967-03-22")
	r.problem(limited, 429, "rate-limited")
	if limited.header.Get("Retry-After") != "360" {
		t.Errorf("Retry-After %s", limited.header.Get("Retry-After"))
	}
	r.problem(look(code, "1967-03-21"), 429, "rate-limited") // guessing ends, also when it has come to the right one
	r.now.Set(r.now.Now().Add(6 * time.Minute))
	for range 30 { // what succeeds is not counted
		if again := look(code, "1967-03-21"); again.status != 200 {
			t.Errorf("after the time: %d %s", again.status, again.raw)
		}
	}
	r.problem(look("123", "1967-03-21"), 422, "validation")
	r.problem(look(code, "21.3.1967"), 422, "validation")
	if log := r.log.String(); strings.Contains(log, strings.ReplaceAll(code, "-", "")) || strings.Contains(log, code) || strings.Contains(log, "1967-03") {
		t.Error("a code or a birth date is in the log")
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, remote, forwarded, want string
		proxies                       []netip.Prefix
	}{
		{"no proxy is trusted", "10.1.1.1:99", "192.0.2.7", "10.1.1.1", nil},
		{"not from a proxy", "198.51.100.1:99", "192.0.2.7", "198.51.100.1", proxies},
		{"from a proxy", "10.1.1.1:99", "192.0.2.7", "192.0.2.7", proxies},
		{"what the client wrote is not believed", "10.1.1.1:99", "203.0.113.9, 192.0.2.7", "192.0.2.7", proxies},
		{"two proxies", "10.1.1.1:99", "203.0.113.9, 192.0.2.7, 10.2.2.2", "192.0.2.7", proxies},
		{"rubbish", "10.1.1.1:99", "203.0.113.9, unknown", "10.1.1.1", proxies},
		{"nothing forwarded", "10.1.1.1:99", "", "10.1.1.1", proxies},
		{"IPv4 in IPv6", "[::ffff:192.0.2.7]:99", "", "192.0.2.7", nil},
		{"a household", "[2001:db8:1:2:3:4:5:6]:99", "", "2001:db8:1:2::/64", nil},
		{"IPv6 proxy", "[fd00::1]:99", "2001:db8:1:2::9", "2001:db8:1:2::/64", proxies},
	} {
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/lookup", http.NoBody)
		req.RemoteAddr = c.remote
		if c.forwarded != "" {
			req.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := Network(req, c.proxies); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
