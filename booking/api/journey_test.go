package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestJourney(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := personBody("p1", "gangnam-0726-1030", "1967-03-21")

	booked := r.do("POST", "/v1/reservations", body, headerKey, "k1", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if booked.status != 201 {
		t.Fatalf("%d %s", booked.status, booked.raw)
	}
	id, code := booked.json["id"].(string), booked.json["code"].(string)
	pendingText := map[string]any{"state": "pending", "texts": []any{map[string]any{"recipient": "resident", "kind": "confirmation",
		"state": "pending", "attempts": 0.0, "accepted_at": nil, "delivered_at": nil}}}
	want := map[string]any{"id": id, "code": code, "version": 1.0, "status": "confirmed",
		"slot":     map[string]any{"id": "gangnam-0726-1030", "site": "gangnam", "starts_at": "2021-07-26T10:30:00+09:00"},
		"resident": map[string]any{"name": "홍**"}, "reference": "A-p1", "created_at": "2021-07-19T20:00:00+09:00", "confirmation": pendingText}
	if diff := cmp.Diff(want, booked.json); diff != "" {
		t.Error(diff)
	}
	if len(code) != 11 || code[5] != '-' {
		t.Errorf("code %q", code)
	}
	if booked.header.Get("Location") != "/v1/reservations/"+id || booked.header.Get("Etag") != `"1"` || booked.header.Get(headerReplayed) != "" {
		t.Errorf("headers %v", booked.header)
	}

	var trace string
	if err := r.db.Pool().GetContext(t.Context(), &trace, "SELECT traceparent FROM outbox WHERE version = 1"); err != nil || !strings.HasPrefix(trace, "00-0af7651916cd43dd") {
		t.Errorf("the trace did not reach the outbox: %q, %v", trace, err)
	}

	replay := r.do("POST", "/v1/reservations", " "+strings.ReplaceAll(body, ", ", " ,\n "), headerKey, "k1")
	if replay.status != 201 || replay.raw != booked.raw || replay.header.Get(headerReplayed) != "true" || replay.header.Get("Location") == "" {
		t.Errorf("replay: %d %v\n%s\n%s", replay.status, replay.header, replay.raw, booked.raw)
	}
	r.problem(r.do("POST", "/v1/reservations", personBody("p2", "gangnam-0726-1030", "1967-03-21"), headerKey, "k1"), 422, "idempotency-key-reused")

	again := r.do("POST", "/v1/reservations", body, headerKey, "k2")
	if again.status != 200 || again.json["id"] != id || again.header.Get("Location") != "" {
		t.Errorf("the same booking with another key: %d %s", again.status, again.raw)
	}
	r.problem(r.do("POST", "/v1/reservations", body, headerKey, "k1", "Authorization", "Bearer "+r.other), 409, "already-booked")

	accepted := time.Date(2021, 7, 19, 11, 0, 2, 0, time.UTC)
	r.texts.put(id, []Text{{Recipient: "resident", Version: 1, Kind: "confirmation", State: "accepted", Attempts: 1, AcceptedAt: &accepted}}, nil)
	got := r.do("GET", "/v1/reservations/"+id, "")
	if got.status != 200 || got.at("confirmation", "state") != "sent" || got.header.Get("Etag") != `"1"` {
		t.Errorf("get: %d %s", got.status, got.raw)
	}
	if up := r.do("GET", "/v1/reservations/"+strings.ToUpper(id), ""); up.raw != got.raw {
		t.Errorf("an id in capitals: %d %s", up.status, up.raw)
	}
	for _, search := range []string{`{"code": "` + code + `"}`, `{"code": "` + strings.ToLower(strings.ReplaceAll(code, "-", "")) + `"}`, `{"reference": "A-p1"}`} {
		found := r.do("POST", "/v1/reservations/search", search)
		list, _ := found.json["reservations"].([]any)
		if found.status != 200 || len(list) != 1 {
			t.Errorf("search: %d %s", found.status, found.raw)
			continue
		}
		if diff := cmp.Diff(any(got.json), list[0]); diff != "" {
			t.Errorf("search: %s", diff)
		}
	}
	if none := r.do("POST", "/v1/reservations/search", `{"reference": "nobody"}`); none.status != 200 || none.raw != `{"reservations":[]}` {
		t.Errorf("search for nobody: %d %s", none.status, none.raw)
	}

	r.problem(r.do("GET", "/v1/reservations/"+id, "", "Authorization", "Bearer "+r.other), 404, "not-found")
	r.problem(r.do("POST", "/v1/reservations/"+id+"/cancel", "", "Authorization", "Bearer "+r.other, headerKey, "c0"), 404, "not-found")
	if found := r.do("POST", "/v1/reservations/search", `{"code": "`+code+`"}`, "Authorization", "Bearer "+r.other); found.raw != `{"reservations":[]}` {
		t.Errorf("another client found it: %s", found.raw)
	}

	mismatch := r.do("POST", "/v1/reservations/"+id+"/cancel", "", headerKey, "c1", "If-Match", `"7"`)
	r.problem(mismatch, 412, "version-mismatch")
	if mismatch.json["version"] != 1.0 {
		t.Errorf("the version that it has is missing: %s", mismatch.raw)
	}
	cancelled := r.do("POST", "/v1/reservations/"+id+"/cancel", "", headerKey, "c2", "If-Match", `"1"`)
	if cancelled.status != 200 || cancelled.json["status"] != "cancelled" || cancelled.json["version"] != 2.0 || cancelled.header.Get("Etag") != `"2"` ||
		cancelled.at("confirmation", "state") != "pending" {
		t.Errorf("cancel: %d %s", cancelled.status, cancelled.raw)
	}
	for _, empty := range []string{"", "{}", " { } "} {
		replay = r.do("POST", "/v1/reservations/"+id+"/cancel", empty, headerKey, "c2", "If-Match", `"1"`)
		if replay.status != 200 || replay.raw != cancelled.raw || replay.header.Get(headerReplayed) != "true" {
			t.Errorf("cancel again: %d %s", replay.status, replay.raw)
		}
	}
	r.problem(r.do("POST", "/v1/reservations/"+id+"/cancel", "", headerKey, "c3"), 409, "not-changeable")
	if replay = r.do("POST", "/v1/reservations", body, headerKey, "k1"); replay.raw != booked.raw {
		t.Errorf("the booking's answer changed after the cancel: %s", replay.raw)
	}
	got = r.do("GET", "/v1/reservations/"+id, "")
	if texts, _ := got.at("confirmation", "texts").([]any); got.json["status"] != "cancelled" || len(texts) != 2 || got.at("confirmation", "state") != "pending" {
		t.Errorf("get after cancel: %s", got.raw)
	}

	if log := r.log.String(); !strings.Contains(log, `"route":"POST /v1/reservations/{id}/cancel"`) {
		t.Errorf("no request log: %s", log)
	}
	for _, private := range []string{"홍길동", "12345678", code, strings.ReplaceAll(code, "-", ""), r.key, "A-p1", "1967-03-21"} {
		if strings.Contains(r.log.String(), private) {
			t.Errorf("%q is in the log", private)
		}
	}
}

func TestBookingForAParent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := strings.Replace(personBody("p1", "gangnam-0726-1030", "1967-03-21"), `"reference"`, `"booked_by": {"name": "홍보람", "phone": "010-8765-4321"}, "reference"`, 1)
	a := r.do("POST", "/v1/reservations", body, headerKey, "k")
	if texts, _ := a.at("confirmation", "texts").([]any); a.status != 201 || a.at("booked_by", "name") != "홍**" || len(texts) != 2 {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	book := func(key, identity, slot, birth string) answer {
		t.Helper()
		return r.do("POST", "/v1/reservations", personBody(identity, slot, birth), headerKey, key)
	}

	r.now.Set(time.Date(2021, 7, 19, 10, 59, 59, 0, time.UTC))
	early := book("k1", "p1", "gangnam-0726-1100", "1967-03-21")
	r.problem(early, 403, "not-open-yet")
	if early.json["opens_at"] != "2021-07-19T20:00:00+09:00" || early.json["server_time"] != "2021-07-19T19:59:59+09:00" {
		t.Errorf("not open yet: %s", early.raw)
	}
	r.now.Set(time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC))
	if a := book("k1", "p1", "gangnam-0726-1100", "1967-03-21"); a.status != 201 {
		t.Errorf("the same key once it is open: %d %s", a.status, a.raw)
	}

	notMe := book("k2", "p2", "gangnam-0726-1030", "1990-01-01")
	r.problem(notMe, 403, "not-eligible")
	later := book("k3", "p3", "gangnam-0726-1030", "1969-01-01")
	r.problem(later, 403, "not-open-yet")
	if later.json["rule"] != "born-1969" || later.json["opens_at"] != "2021-07-21T20:00:00+09:00" {
		t.Errorf("the rule and its opening: %s", later.raw)
	}
	full := book("k4", "p4", "gangnam-0726-1100", "1968-03-21")
	r.problem(full, 409, "slot-full")
	if list, _ := full.json["alternatives"].([]any); len(list) != 1 {
		t.Errorf("alternatives: %s", full.raw)
	}
	replay := book("k4", "p4", "gangnam-0726-1100", "1968-03-21")
	if replay.raw != full.raw || replay.header.Get(headerReplayed) != "true" {
		t.Errorf("replayed refusal: %v %s", replay.header, replay.raw)
	}
	none := book("k5", "p5", "nowhere", "1968-03-21")
	r.problem(none, 404, "not-found")
	if !strings.Contains(none.raw, "slot_id") {
		t.Errorf("an unknown slot: %s", none.raw)
	}
	r.now.Set(time.Date(2021, 7, 24, 9, 0, 0, 0, time.UTC))
	closed := book("k6", "p6", "gangnam-0726-1030", "1968-03-21")
	r.problem(closed, 403, "window-closed")
	if closed.json["closes_at"] != "2021-07-24T18:00:00+09:00" {
		t.Errorf("closed: %s", closed.raw)
	}
	korean := r.do("POST", "/v1/reservations", personBody("p7", "gangnam-0726-1030", "1968-03-21"), headerKey, "k7", "Accept-Language", "ko-KR,ko;q=0.9,en;q=0.5")
	if korean.header.Get("Content-Language") != "ko" || korean.json["title"] != "예약이 마감되었습니다" {
		t.Errorf("in Korean: %v %s", korean.header, korean.raw)
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, c := range badBodies(t) {
		a := r.do("POST", "/v1/reservations", c[0], headerKey, "bad", "Content-Type", "application/json")
		r.problem(a, 422, "validation")
		if c[1] != "" && !strings.Contains(a.raw, `"field":"`+c[1]+`"`) {
			t.Errorf("%s: %s is not named: %s", name, c[1], a.raw)
		}
	}
	good := personBody("p1", "gangnam-0726-1030", "1967-03-21")
	large := strings.Repeat(" ", MaxBody) + good
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		slug                     string
	}{
		{"no key", "POST", "/v1/reservations", good, []string{"Authorization", "", headerKey, "k"}, 401, "unauthorized"},
		{"wrong scheme", "POST", "/v1/reservations", good, []string{"Authorization", "Basic eDp5", headerKey, "k"}, 401, "unauthorized"},
		{"unknown key", "GET", "/v1/reservations/x", "", []string{"Authorization", "Bearer ansim_" + strings.Repeat("0", 64)}, 401, "unauthorized"},
		{"no Idempotency-Key", "POST", "/v1/reservations", good, nil, 400, "idempotency-key-missing"},
		{"long Idempotency-Key", "POST", "/v1/reservations", good, []string{headerKey, strings.Repeat("k", 256)}, 422, "validation"},
		{"Idempotency-Key in Korean", "POST", "/v1/reservations", good, []string{headerKey, "열쇠"}, 422, "validation"},
		{"a form", "POST", "/v1/reservations", good, []string{headerKey, "k", "Content-Type", "application/x-www-form-urlencoded"}, 422, "validation"},
		{"another charset", "POST", "/v1/reservations", good, []string{headerKey, "k", "Content-Type", "application/json; charset=euc-kr"}, 422, "validation"},
		{"large", "POST", "/v1/reservations", large, []string{headerKey, "k"}, 413, "too-large"},
		{"no such path", "GET", "/v1/nothing", "", nil, 404, "not-found"},
		{"no such reservation", "GET", "/v1/reservations/00000000-0000-7000-8000-000000000000", "", nil, 404, "not-found"},
		{"an id that is none", "GET", "/v1/reservations/" + strings.Repeat("x", 5000), "", nil, 404, "not-found"},
		{"wrong method", "DELETE", "/v1/reservations", "", nil, 405, "method-not-allowed"},
		{"bad If-Match", "POST", "/v1/reservations/x/cancel", "", []string{headerKey, "k", "If-Match", `W/"1"`}, 422, "validation"},
		{"cancel with a body", "POST", "/v1/reservations/x/cancel", `{"reason": "x"}`, []string{headerKey, "k"}, 422, "validation"},
		{"cancel of nothing", "POST", "/v1/reservations/x/cancel", "", []string{headerKey, "k9"}, 404, "not-found"},
	} {
		a := r.do(c.method, c.path, c.body, c.headers...)
		if r.problem(a, c.status, c.slug); t.Failed() {
			t.Fatal(c.name)
		}
	}
	if a := r.do("DELETE", "/v1/reservations", ""); a.header.Get("Allow") != "POST" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	if a := r.do("OPTIONS", "/v1/reservations/search", ""); a.header.Get("Allow") != "POST" { // though GET would read a reservation of that id
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	if a := r.do("POST", "/v1/reservations/x", ""); a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	if a := r.do("POST", "/v1/reservations", good, headerKey, "bad", "Content-Type", "Application/JSON; charset=UTF-8"); a.status != 201 {
		t.Errorf("a good request after all that: %d %s", a.status, a.raw)
	}
}

func TestABodyOfUnknownLength(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for size, want := range map[int]int{MaxBody: 201, MaxBody + 1: 413} {
		good := personBody("p1", "gangnam-0726-1030", "1967-03-21")
		body := good + strings.Repeat(" ", size-len(good))
		req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/reservations", struct{ *strings.Reader }{strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = -1
		req.Header.Set("Authorization", "bearer "+r.key)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(headerKey, "k")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", size, res.StatusCode, want)
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.db.Pool().ExecContext(t.Context(), "UPDATE api_key SET scopes = 'read' WHERE name = 'clinic'"); err != nil {
		t.Fatal(err)
	}
	r.problem(r.do("POST", "/v1/reservations", "not even JSON", headerKey, "k"), 403, "forbidden")
	r.problem(r.do("POST", "/v1/reservations/x/cancel", "", headerKey, "k"), 403, "forbidden")
	if a := r.do("POST", "/v1/reservations/search", `{"reference": "x"}`); a.status != 200 {
		t.Errorf("read: %d", a.status)
	}
}

// P7: a booking is shown also when its texts cannot be.
func TestTextsCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	booked := r.do("POST", "/v1/reservations", personBody("p1", "gangnam-0726-1030", "1967-03-21"), headerKey, "k")
	r.texts.put("", nil, errors.New("the table is locked"))
	got := r.do("GET", booked.header.Get("Location"), "")
	if got.status != 200 || got.at("confirmation", "state") != "pending" {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func TestProgrammes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	one := r.do("GET", "/v1/programmes/covid-2021-50s", "")
	want := map[string]any{"id": "covid-2021-50s", "name": map[string]any{"ko": "코로나19 예방접종", "en": "COVID-19 vaccination"},
		"time_zone": "Asia/Seoul", "opens_at": "2021-07-19T20:00:00+09:00", "closes_at": "2021-07-24T18:00:00+09:00", "server_time": "2021-07-19T20:00:00+09:00",
		"rules": []any{
			map[string]any{"id": "born-1967-1968", "born_from": "1967-01-01", "born_to": "1968-12-31", "opens_at": "2021-07-19T20:00:00+09:00", "closes_at": "2021-07-24T18:00:00+09:00"},
			map[string]any{"id": "born-1969", "born_from": "1969-01-01", "born_to": "1969-12-31", "opens_at": "2021-07-21T20:00:00+09:00", "closes_at": "2021-07-24T18:00:00+09:00"},
		}}
	if diff := cmp.Diff(want, one.json); diff != "" || one.status != 200 {
		t.Errorf("%d %s", one.status, diff)
	}
	list := r.do("GET", "/v1/programmes", "")
	if all, _ := list.json["programmes"].([]any); len(all) != 1 || !cmp.Equal(all[0], any(want)) || list.json["server_time"] == nil {
		t.Errorf("list: %s", list.raw)
	}
	r.problem(r.do("GET", "/v1/programmes/none", ""), 404, "not-found")
}
