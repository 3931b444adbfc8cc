package api

import (
	"testing"
	"time"

	"ansim/booking"
)

// A reservation is moved and its contact corrected: each is a version with texts of its own, and each answer is given again
// byte by byte.
func TestChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	booked := r.do("POST", "/v1/reservations", personBody("p1", "gangnam-0726-1030", "1967-03-21"), headerKey, "k1")
	id, _ := booked.at("id").(string)
	path := "/v1/reservations/" + id
	moved := r.do("POST", path+"/reschedule", `{"slot_id": "gangnam-0726-1100"}`, headerKey, "k2", "If-Match", booked.header.Get("Etag"))
	if moved.status != 200 || moved.at("version") != 2.0 || moved.at("slot", "id") != "gangnam-0726-1100" || moved.at("code") != booked.at("code") ||
		moved.header.Get("Etag") != `"2"` || moved.at("confirmation", "state") != "pending" {
		t.Errorf("moved: %d %s", moved.status, moved.raw)
	}
	if texts, _ := moved.at("confirmation", "texts").([]any); len(texts) != 1 || texts[0].(map[string]any)["kind"] != "change" {
		t.Errorf("texts of the move: %v", texts)
	}
	corrected := r.do("POST", path+"/contact", `{"name": "김철수", "phone": "010 5555 6666", "language": "en"}`, headerKey, "k3")
	if corrected.status != 200 || corrected.at("version") != 3.0 || corrected.at("resident", "name") != "김**" {
		t.Errorf("corrected: %d %s", corrected.status, corrected.raw)
	}
	for _, again := range []struct{ call, key, body, match, was string }{
		{"/reschedule", "k2", `{ "slot_id":"gangnam-0726-1100" }`, `"1"`, moved.raw},
		{"/contact", "k3", `{"phone": "010 5555 6666", "name": "김철수", "language": "en"}`, "", corrected.raw},
	} {
		got := r.do("POST", path+again.call, again.body, headerKey, again.key, "If-Match", again.match)
		if got.status != 200 || got.raw != again.was || got.header.Get(headerReplayed) != "true" {
			t.Errorf("%s again: %d %s\n%s", again.call, got.status, got.raw, again.was)
		}
	}
	same := r.do("POST", path+"/contact", `{"name": "김철수"}`, headerKey, "k4")
	if same.status != 200 || same.at("version") != 3.0 {
		t.Errorf("corrected to what it is: %d %s", same.status, same.raw)
	}
	full := r.do("POST", "/v1/reservations", personBody("p2", "gangnam-0726-1100", "1967-03-21"), headerKey, "k5")
	r.problem(full, 409, "slot-full")
	second := r.do("POST", "/v1/reservations", personBody("p2", "gangnam-0726-1030", "1967-03-21"), headerKey, "k6")
	other, _ := second.at("id").(string)
	full = r.do("POST", "/v1/reservations/"+other+"/reschedule", `{"slot_id": "gangnam-0726-1100"}`, headerKey, "k7")
	r.problem(full, 409, "slot-full")
	r.problem(r.do("POST", path+"/reschedule", `{"slot_id": "nowhere"}`, headerKey, "k8"), 404, "not-found")
	r.problem(r.do("POST", path+"/reschedule", `{"slot_id": "gangnam-0726-1030"}`, headerKey, "k9", "If-Match", `"1"`), 412, "version-mismatch")
	r.problem(r.do("POST", path+"/reschedule", `{"slot_id": "gangnam-0726-1030"}`, headerKey, "k2"), 422, "idempotency-key-reused")
	r.problem(r.do("POST", path+"/contact", `{}`, headerKey, "k10"), 422, "validation")
	r.problem(r.do("POST", path+"/contact", `{"phone": "12", "name": "", "language": "fr", "identity": "x"}`, headerKey, "k11"), 422, "validation")
	r.problem(r.do("POST", path+"/contact", `{"name": "김"}`, headerKey, "k12", "Authorization", "Bearer "+r.other), 404, "not-found")
	r.problem(r.do("POST", path+"/reschedule", `{"slot_id": "gangnam-0726-1030"}`), 400, "idempotency-key-missing")
}

// A key with a rate is told to wait when it has used it up, and others are not.
func TestKeyRate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	slow, err := booking.CreateKey(t.Context(), r.db, booking.KeySpec{Name: "slow", Scopes: []string{"read"}, Rate: 1, ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	limited := false
	for range 1000 { // a thousand in a second is more than one
		got := r.do("GET", "/v1/programmes", "", "Authorization", "Bearer "+slow)
		if limited = got.status == 429; limited {
			r.problem(got, 429, "rate-limited")
			if got.header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
			}
			break
		}
	}
	if !limited {
		t.Error("never limited")
	}
	if got := r.do("GET", "/v1/programmes", ""); got.status != 200 {
		t.Errorf("another key: %d", got.status)
	}
}
