package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/booking"
	"ansim/schema/event"
)

// opened is when the clock of a rig begins, and when its programme opens.
var opened = time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC)

const canaryReason = "캐나리아 asks for 홍길동, 010-1234-5678"

func resendPath(id string) string { return "/v1/reservations/" + id + "/resend" }

func reasonBody(more string) string { return `{"reason": "` + canaryReason + `"` + more + `}` }

func withBooker(body string) string {
	return strings.Replace(body, `"reference"`, `"booked_by": {"name": "홍보람", "phone": "010-8765-4321"}, "reference"`, 1)
}

func TestResendJourney(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	booked := r.do("POST", "/v1/reservations", withBooker(personBody("p1", "gangnam-0726-1030", "1967-03-21")), headerKey, "k1")
	id, code := booked.json["id"].(string), booked.json["code"].(string)

	r.now.Set(opened.Add(20*time.Second + time.Millisecond))
	soon := r.do("POST", resendPath(id), reasonBody(""), headerKey, "r1")
	r.problem(soon, 429, "rate-limited")
	if soon.header.Get("Retry-After") != "40" || soon.json["server_time"] == nil {
		t.Errorf("too soon: %v %s", soon.header, soon.raw)
	}
	r.now.Set(opened.Add(time.Hour))
	waits := r.do("POST", resendPath(id), reasonBody(""), headerKey, "r1") // the notifier has no text yet
	r.problem(waits, 429, "rate-limited")
	if waits.header.Get("Retry-After") != "60" || waits.json["detail"] == soon.json["detail"] {
		t.Errorf("on its way: %v %s", waits.header, waits.raw)
	}
	r.looks.put(id, "unknown", 0)
	lost := r.do("POST", resendPath(id), reasonBody(""), headerKey, "r1")
	r.problem(lost, 409, "outcome-unknown")
	if detail := lost.json["detail"].(string); lost.header.Get("Retry-After") != "60" || !strings.Contains(detail, "even_if_unknown: true") || !strings.Contains(detail, "looked up") {
		t.Errorf("unknown: %v %s", lost.header, lost.raw)
	}
	korean := r.do("POST", resendPath(id), reasonBody(""), headerKey, "r1", "Accept-Language", "ko")
	if detail := korean.json["detail"].(string); korean.header.Get("Content-Language") != "ko" || !strings.Contains(detail, "even_if_unknown: true") || !strings.Contains(detail, "조회") {
		t.Errorf("unknown, in Korean: %s", korean.raw)
	}

	body := reasonBody(`, "recipient": "both", "even_if_unknown": true`)
	sent := r.do("POST", resendPath(id), body, headerKey, "r2")
	text := func(to string) map[string]any {
		return map[string]any{"recipient": to, "kind": "confirmation", "state": "pending", "attempts": 0.0, "accepted_at": nil, "delivered_at": nil, "resend": 1.0}
	}
	want := booked.json
	want["confirmation"] = map[string]any{"state": "pending", "texts": []any{text("resident"), text("booker")}}
	if d := cmp.Diff(want, sent.json); d != "" || sent.status != 202 {
		t.Errorf("%d %s\n%s", sent.status, sent.raw, d)
	}
	if h := sent.header; h.Get("Etag") != `"1"` || h.Get("Location") != "" || h.Get(headerReplayed) != "" || h.Get("Vary") != "Accept-Language" {
		t.Errorf("headers %v", h)
	}
	got := r.do("GET", "/v1/reservations/"+id, "")
	if texts := got.at("confirmation", "texts").([]any); len(texts) != 2 || !cmp.Equal(texts[0], any(text("resident"))) {
		t.Errorf("before the notifier has it: %s", got.raw)
	}
	r.looks.put(id, "delivered", 1)
	r.now.Set(opened.Add(2 * time.Hour))
	for _, path := range []string{resendPath(id), resendPath(strings.ToUpper(id))} {
		spaced := strings.ReplaceAll(body, `, "`, " ,\n \"")
		if replay := r.do("POST", path, spaced, headerKey, "r2"); replay.status != 202 || replay.raw != sent.raw || replay.header.Get(headerReplayed) != "true" {
			t.Errorf("replay: %d %s", replay.status, replay.raw)
		}
	}
	r.problem(r.do("POST", resendPath(id), reasonBody(""), headerKey, "r2"), 422, "idempotency-key-reused")
	r.problem(r.do("POST", resendPath(id), reasonBody(""), headerKey, "r3", "Authorization", "Bearer "+r.other), 404, "not-found")

	again := r.do("POST", resendPath(id), reasonBody(`, "recipient": "booker"`), headerKey, "r4")
	one := text("booker")
	one["resend"] = 2.0
	if d := cmp.Diff(map[string]any{"state": "delivered", "texts": []any{one}}, again.json["confirmation"]); d != "" || again.status != 202 {
		t.Errorf("to the booker alone: %d %s\n%s", again.status, again.raw, d)
	}

	r.now.Set(time.Date(2021, 7, 26, 1, 30, 0, 0, time.UTC))
	past := r.do("POST", resendPath(id), reasonBody(""), headerKey, "r5")
	r.problem(past, 409, "not-changeable")
	if !strings.Contains(past.raw, "too late") || past.header.Get("Retry-After") != "" {
		t.Errorf("past: %v %s", past.header, past.raw)
	}
	if past = r.do("POST", resendPath(id), reasonBody(""), headerKey, "r5"); past.header.Get(headerReplayed) != "true" {
		t.Errorf("a final refusal is not replayed: %v", past.header)
	}

	if !strings.Contains(r.log.String(), `"route":"POST /v1/reservations/{id}/resend"`) {
		t.Error("no request log")
	}
	for _, private := range []string{"홍길동", "홍보람", "캐나리아", "12345678", "1234-5678", code, id} {
		if strings.Contains(r.log.String(), private) {
			t.Errorf("%q is in the log", private)
		}
	}
}

func TestResendBadRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.do("POST", "/v1/reservations", personBody("p1", "gangnam-0726-1030", "1967-03-21"), headerKey, "k1").json["id"].(string)
	r.looks.put(id, "failed", 0)
	r.now.Set(opened.Add(time.Hour))
	for name, c := range map[string]struct{ body, field, code string }{
		"empty":                  {"", "Content-Type", codeContentType},
		"a list":                 {"[]", "body", codeNotObject},
		"no reason":              {`{}`, "reason", codeMissing},
		"reason null":            {`{"reason": null}`, "reason", codeNull},
		"reason empty":           {`{"reason": "  "}`, "reason", booking.SlugReason},
		"reason long":            {`{"reason": "` + strings.Repeat("가", 201) + `"}`, "reason", booking.SlugReason},
		"reason with NUL":        {`{"reason": "a\u0000"}`, "reason", booking.SlugReason},
		"reason turned round":    {`{"reason": "a\u202eb"}`, "reason", booking.SlugReason},
		"nobody":                 {`{"reason": "x", "recipient": ""}`, "recipient", codeEmpty},
		"somebody else":          {`{"reason": "x", "recipient": "01012345678"}`, "recipient", booking.SlugRecipient},
		"a list of recipients":   {`{"reason": "x", "recipient": ["resident"]}`, "recipient", codeNotString},
		"a flag in quotes":       {`{"reason": "x", "even_if_unknown": "true"}`, "even_if_unknown", codeNotBool},
		"a flag null":            {`{"reason": "x", "even_if_unknown": null}`, "even_if_unknown", codeNull},
		"a flag twice":           {`{"reason": "x", "even_if_unknown": false, "even_if_unknown": true}`, "even_if_unknown", codeDuplicate},
		"the cool-down":          {`{"reason": "x", "no_cool_down": true}`, "no_cool_down", codeUnknown},
		"who asks":               {`{"reason": "x", "by": "x"}`, "by", codeUnknown},
		"a booker where is none": {`{"reason": "x", "recipient": "booker"}`, "recipient", codeNoBooker},
	} {
		a := r.do("POST", resendPath(id), c.body, headerKey, "bad")
		r.problem(a, 422, "validation")
		if !strings.Contains(a.raw, `"field":"`+c.field+`","code":"`+c.code+`"`) || strings.Contains(a.raw, "01012345678") {
			t.Errorf("%s: %s", name, a.raw)
		}
	}
	all := r.do("POST", resendPath(id), `{"recipient": 1, "even_if_unknown": 1, "x": 1}`, headerKey, "bad")
	if list, _ := all.json["errors"].([]any); len(list) != 4 {
		t.Errorf("not every field at once: %s", all.raw)
	}
	r.problem(r.do("POST", resendPath(id), reasonBody("")), 400, "idempotency-key-missing")
	r.problem(r.do("POST", resendPath("x"), reasonBody(""), headerKey, "none"), 404, "not-found")
	r.problem(r.do("GET", resendPath(id), ""), 405, "method-not-allowed")
	r.problem(r.do("POST", resendPath(id), strings.Repeat(" ", MaxBody)+reasonBody(""), headerKey, "k"), 413, "too-large")
	if n := r.do("POST", resendPath(id), reasonBody(""), headerKey, "bad"); n.status != 202 {
		t.Errorf("a good request after all that: %d %s", n.status, n.raw)
	}
	if _, err := r.db.Pool().ExecContext(t.Context(), "UPDATE api_key SET scopes = 'book read' WHERE name = 'other'"); err != nil {
		t.Fatal(err)
	}
	r.problem(r.do("POST", resendPath(id), "not even JSON", headerKey, "k", "Authorization", "Bearer "+r.other), 403, "forbidden")
}

// What the resident's newest text is follows from version and resend number, not from the order of the list.
func TestConfirmationOfResends(t *testing.T) {
	t.Parallel()
	text := func(to string, version, resend int, state string) Text {
		return Text{Recipient: to, Version: version, Resend: resend, Kind: "confirmation", State: state}
	}
	for name, c := range map[string]struct {
		version int
		resends booking.Resends
		texts   []Text
		state   string
		count   int
	}{
		"the resend decides":             {1, booking.Resends{Resident: 1}, []Text{text("resident", 1, 0, "failed"), text("resident", 1, 1, "delivered")}, "delivered", 3},
		"whatever the order":             {1, booking.Resends{Resident: 2}, []Text{text("resident", 1, 2, "delivered"), text("resident", 1, 0, "failed"), text("resident", 1, 1, "held")}, "delivered", 4},
		"the notifier has it not yet":    {1, booking.Resends{Resident: 1}, []Text{text("resident", 1, 0, "failed")}, "pending", 3},
		"the first, neither":             {1, booking.Resends{Resident: 1}, nil, "pending", 2},
		"a resend to the booker":         {1, booking.Resends{Booker: 1}, []Text{text("resident", 1, 0, "failed"), text("booker", 1, 0, "sent")}, "failed", 3},
		"a resend of an earlier version": {2, booking.Resends{}, []Text{text("resident", 1, 5, "delivered"), text("resident", 2, 0, "failed")}, "failed", 3},
		"a newer version than was read":  {1, booking.Resends{Resident: 3}, []Text{text("resident", 2, 0, "sent"), text("booker", 2, 0, "sent")}, "sent", 2},
	} {
		v := sample(booking.BookRequest{Booker: &booking.Person{}})
		v.Version, v.Resends = c.version, c.resends
		got := confirmationOf(v, c.texts, time.Time{})
		if got.State != c.state || len(got.Texts) != c.count {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestExplanations(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	booked := r.do("POST", "/v1/reservations", personBody("p1", "gangnam-0726-1030", "1967-03-21"), headerKey, "k1")
	id := booked.json["id"].(string)
	r.texts.put(id, []Text{
		{Recipient: "resident", Version: 1, Kind: "confirmation", State: "undelivered", Reason: "error-30003"},
		{Recipient: "booker", Version: 1, Kind: "confirmation", State: "unknown", Reason: "answer-lost"},
		{Recipient: "booker", Version: 1, Kind: "confirmation", State: "held", Reason: "of which nobody has a sentence"},
	}, nil)
	for language, want := range map[string][]any{
		"":              {"The phone could not be reached.", "We are finding out.", nil},
		"ko-KR, en;q=1": {"전화기에 연결할 수 없습니다.", nil, nil},
	} {
		got := r.do("GET", "/v1/reservations/"+id, "", "Accept-Language", language)
		found := r.do("POST", "/v1/reservations/search", `{"reference": "A-p1"}`, "Accept-Language", language)
		for _, a := range []any{got.json, found.json["reservations"].([]any)[0]} {
			c := a.(map[string]any)["confirmation"].(map[string]any)
			texts := c["texts"].([]any)
			seen := []any{}
			for _, x := range texts {
				seen = append(seen, x.(map[string]any)["explanation"])
			}
			if d := cmp.Diff(want, seen); d != "" || c["explanation"] != want[0] || c["reason"] != "error-30003" {
				t.Errorf("in %q: %s\n%s", language, got.raw, d)
			}
		}
		if got.header.Get("Vary") != "Accept-Language" || found.header.Get("Vary") != "Accept-Language" {
			t.Errorf("Vary: %v, %v", got.header, found.header)
		}
	}
	// Without the hook there are reasons alone.
	c := explained(confirmationJSON{Reason: "x", Texts: []textJSON{{Reason: "y"}}}, func(string, string) string { return "" }, "en")
	if c.Explanation != "" || c.Texts[0].Explanation != "" {
		t.Errorf("%+v", c)
	}
}

// resender answers every resend with one error.
type resender struct {
	nothing
	err error
}

func (s resender) Resend(context.Context, booking.Call, booking.ResendOrder) (booking.Reply, error) {
	return booking.Reply{}, s.err
}

func TestResendComesBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err   error
		code  int
		retry string
	}{
		{&booking.Refusal{Kind: booking.ErrCoolDown, RetryAfter: time.Nanosecond}, 429, "1"},
		{&booking.Refusal{Kind: booking.ErrCoolDown, RetryAfter: 59*time.Second + 1}, 429, "60"},
		{&booking.Refusal{Kind: booking.ErrTextPending}, 429, "60"},
		{&booking.Refusal{Kind: booking.ErrOutcomeUnknown, RetryAfter: 90 * time.Second}, 409, "90"},
		{booking.ErrOverloaded, 503, "1"},
		{errors.New("홍길동 in the way"), 500, ""},
	} {
		h := (&server{service: resender{err: c.err}, keys: nothing{}}).handler()
		req := httptest.NewRequest(http.MethodPost, resendPath("x"), strings.NewReader(reasonBody("")))
		req.Header.Set("Authorization", "Bearer x")
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(headerKey, "k")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != c.code || w.Header().Get("Retry-After") != c.retry || strings.Contains(w.Body.String(), "홍길동") {
			t.Errorf("%v: %d %v %s", c.err, w.Code, w.Header(), w.Body)
		}
	}
}

func TestReadResend(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]booking.ResendOrder{
		`{"reason": " x "}`:                                                {Reason: "x"},
		`{"reason": "x", "recipient": "both"}`:                             {Reason: "x"},
		`{"reason": "x", "recipient": "resident"}`:                         {Reason: "x", Recipients: []event.Recipient{event.Resident}},
		`{"reason": "x", "recipient": "booker", "even_if_unknown": true}`:  {Reason: "x", Recipients: []event.Recipient{event.Booker}, EvenIfUnknown: true},
		`{"even_if_unknown": false, "reason": "x", "recipient": "booker"}`: {Reason: "x", Recipients: []event.Recipient{event.Booker}},
	} {
		got, _, err := readResend([]byte(body), testNow)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", body, err, d)
		}
	}
}

// The description of the call has every status that it can answer, with what its clients need to come back.
func TestDescriptionOfResend(t *testing.T) {
	t.Parallel()
	doc := decode(t, get(t, (&server{service: nothing{}, keys: nothing{}}).handler(), "/openapi.json").Body.String())
	op, _ := answer{json: doc}.at("paths", "/v1/reservations/{id}/resend", "post").(map[string]any)
	responses := op["responses"].(map[string]any)
	want := map[string]string{"202": "Accepted", "400": "idempotency-key-missing", "401": "unauthorized", "403": "forbidden", "404": "not-found",
		"409": "idempotency-in-progress, not-changeable, outcome-unknown", "413": "too-large", "422": "validation, idempotency-key-reused",
		"429": "rate-limited", "500": "internal", "503": "overloaded"}
	got := map[string]string{}
	for status, r := range responses {
		got[status] = r.(map[string]any)["description"].(string)
		_, waits := answer{json: r.(map[string]any)}.at("headers", "Retry-After").(map[string]any)
		if should := status == "409" || status == "429" || status == "503"; waits != should {
			t.Errorf("%s: Retry-After is described: %v", status, waits)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	examples, _ := answer{json: op}.at("requestBody", "content", "application/json", "examples").(map[string]any)
	if len(examples) == 0 || (answer{json: op}).at("requestBody", "required") != true {
		t.Errorf("request body: %v", op["requestBody"])
	}
	for name, e := range resendExamples() {
		body, err := json.Marshal(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := readResend(body, testNow); err != nil || examples[name] == nil {
			t.Errorf("example %q: %v", name, err)
		}
	}
	schemas := answer{json: doc}.at("components", "schemas").(map[string]any)
	for schema, fields := range map[string][]string{"Confirmation": {"explanation"}, "Text": {"explanation", "resend"}, "ResendRequest": {"reason", "recipient", "even_if_unknown"}} {
		s, _ := schemas[schema].(map[string]any)
		for _, f := range fields {
			if p, _ := (answer{json: s}).at("properties", f).(map[string]any); p["description"] == nil {
				t.Errorf("%s.%s is not described", schema, f)
			}
		}
	}
}
