package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/booking"
	"ansim/schema/sqldb"
)

func TestOutcomeOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		slug   string
		status int
	}{
		{errKeyMissing, "idempotency-key-missing", 400},
		{fmt.Errorf("look up: %w", booking.ErrUnauthorized), "unauthorized", 401},
		{booking.ErrForbidden, "forbidden", 403},
		{&booking.Refusal{Kind: booking.ErrNotOpenYet}, "not-open-yet", 403},
		{&booking.Refusal{Kind: booking.ErrWindowClosed}, "window-closed", 403},
		{&booking.Refusal{Kind: booking.ErrNotEligible}, "not-eligible", 403},
		{booking.ErrNotFound, "not-found", 404},
		{fmt.Errorf("book: %w", booking.ErrNoSlot), "not-found", 404},
		{errMethod, "method-not-allowed", 405},
		{&booking.Refusal{Kind: booking.ErrSlotFull}, "slot-full", 409},
		{&booking.Refusal{Kind: booking.ErrAlreadyBooked}, "already-booked", 409},
		{booking.ErrKeyInProgress, "idempotency-in-progress", 409},
		{&booking.Refusal{Kind: booking.ErrNotChangeable}, "not-changeable", 409},
		{&booking.Refusal{Kind: booking.ErrAppointmentPast}, "not-changeable", 409},
		{&booking.Refusal{Kind: booking.ErrOutcomeUnknown}, "outcome-unknown", 409},
		{&booking.Refusal{Kind: booking.ErrCoolDown}, "rate-limited", 429},
		{&booking.Refusal{Kind: booking.ErrTextPending}, "rate-limited", 429},
		{&booking.Refusal{Kind: booking.ErrVersionMismatch}, "version-mismatch", 412},
		{errTooLarge, "too-large", 413},
		{&invalid{}, "validation", 422},
		{booking.ErrKeyReused, "idempotency-key-reused", 422},
		{booking.ErrOverloaded, "overloaded", 503},
		{sqldb.ErrStopped, "overloaded", 503},
		{context.DeadlineExceeded, "overloaded", 503},
		{errors.New("pq: secret of Hong"), "internal", 500},
	} {
		o, p := problemOf(c.err, "en")
		if o.slug != c.slug || o.status != c.status || p.Type != "/problems/"+c.slug || p.Status != c.status {
			t.Errorf("%v: got %s %d", c.err, o.slug, o.status)
		}
		if strings.Contains(fmt.Sprint(p), "Hong") {
			t.Errorf("shows what is internal: %+v", p)
		}
	}
}

func TestEverySentenceIsThere(t *testing.T) {
	t.Parallel()
	for _, o := range outcomes {
		for _, s := range []sentence{o.title, o.detail} {
			if s.en == "" || s.ko == "" || s.en == s.ko {
				t.Errorf("%s lacks a sentence", o.slug)
			}
		}
	}
}

func TestProblemBodies(t *testing.T) {
	t.Parallel()
	seoul := time.FixedZone("KST", 9*3600)
	at := func(day, hour int) time.Time { return time.Date(2021, 7, day, hour, 0, 0, 0, seoul) }
	notOpen := &booking.Refusal{Kind: booking.ErrNotOpenYet, Rule: "born-1967-1968", OpensAt: at(19, 20), ClosesAt: at(24, 18), ServerTime: at(19, 19).Add(59*time.Minute + 1500*time.Millisecond)}
	for name, c := range map[string]struct {
		err  error
		lang string
		want string
	}{
		"not open yet": {notOpen, "en", `{"type": "/problems/not-open-yet", "title": "Booking has not opened yet", "status": 403,
			"detail": "Booking opens for this person at 2021-07-19T20:00:00+09:00. By the server's clock it is 2021-07-19T19:59:01.5+09:00.",
			"rule": "born-1967-1968", "opens_at": "2021-07-19T20:00:00+09:00", "closes_at": "2021-07-24T18:00:00+09:00", "server_time": "2021-07-19T19:59:01.5+09:00"}`},
		"not open yet in Korean": {notOpen, "ko", `{"type": "/problems/not-open-yet", "title": "아직 예약이 시작되지 않았습니다", "status": 403,
			"detail": "이 분의 예약은 2021-07-19T20:00:00+09:00에 시작됩니다. 현재 서버 시각은 2021-07-19T19:59:01.5+09:00입니다.",
			"rule": "born-1967-1968", "opens_at": "2021-07-19T20:00:00+09:00", "closes_at": "2021-07-24T18:00:00+09:00", "server_time": "2021-07-19T19:59:01.5+09:00"}`},
		"not eligible": {&booking.Refusal{Kind: booking.ErrNotEligible, Rule: "a", ServerTime: at(20, 9), NextWindow: &booking.Window{Rule: "b", OpensAt: at(21, 20), ClosesAt: at(24, 18)}}, "en",
			`{"type": "/problems/not-eligible", "title": "Not eligible", "status": 403, "rule": "a", "server_time": "2021-07-20T09:00:00+09:00",
			"detail": "No rule of the programme admits a person with this birth date. The next window that does opens at 2021-07-21T20:00:00+09:00.",
			"next_window": {"rule": "b", "opens_at": "2021-07-21T20:00:00+09:00", "closes_at": "2021-07-24T18:00:00+09:00"}}`},
		"slot full": {&booking.Refusal{Kind: booking.ErrSlotFull, Alternatives: []booking.Slot{{ID: "s2", SiteID: "gangnam", StartsAt: at(26, 11)}}}, "en",
			`{"type": "/problems/slot-full", "title": "The slot is full", "status": 409, "detail": "No place is left at that time. Nothing was booked; alternatives lists times that had places.",
			"alternatives": [{"id": "s2", "site": "gangnam", "starts_at": "2021-07-26T11:00:00+09:00"}]}`},
		"validation": {&invalid{[]fieldError{{"resident.phone", codeMissing, ""}, {"x", codeUnknown, "slot_id, resident"}}}, "en",
			`{"type": "/problems/validation", "title": "The request has invalid fields", "status": 422, "detail": "errors lists each field that is wrong and says what would be right. Nothing was done.",
			"errors": [{"field": "resident.phone", "code": "missing", "detail": "This field is required."}, {"field": "x", "code": "unknown", "detail": "There is no such field. Those allowed here: slot_id, resident."}]}`},
	} {
		_, p := problemOf(c.err, c.lang)
		got, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(decode(t, c.want), decode(t, string(got))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func decode(t testing.TB, s string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return m
}

func TestLanguageOf(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"": "en", "ko": "ko", "ko-KR,ko;q=0.9,en-US;q=0.8": "ko", "en-GB": "en", "fr": "en", "fr;q=0.9,ko;q=0.5": "ko",
		"en;q=0.3,ko;q=0.7": "ko", "*": "en", ";;;q=": "en", strings.Repeat("ko,", 400): "en",
	} {
		if got := languageOf(accept); got != want {
			t.Errorf("%.20q: got %s, want %s", accept, got, want)
		}
	}
}

func TestTraceparent(t *testing.T) {
	t.Parallel()
	good := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for h, want := range map[string]string{
		good: good, "": "", good + "x": "", strings.ToUpper(good): "", "ff" + good[2:]: "", strings.Replace(good, "b7ad6b7169203331", strings.Repeat("0", 16), 1): "",
		strings.Replace(good, "-", "_", 1): "", strings.Replace(good, "0af7", "0ag7", 1): "",
	} {
		if got := traceparent(h); got != want {
			t.Errorf("%q: got %q", h, got)
		}
	}
}

func TestConfirmationOf(t *testing.T) {
	t.Parallel()
	utc := time.Date(2021, 7, 19, 11, 0, 1, 0, time.UTC)
	v := sample(booking.BookRequest{})
	one := func(state, reason string) []Text {
		return []Text{{Recipient: "resident", Version: 1, Kind: "confirmation", State: state, Reason: reason}}
	}
	for _, c := range []struct{ state, reason, wantState, wantReason string }{
		{"pending", "", "pending", ""}, {"sending", "", "pending", ""}, {"unknown", "timeout", "pending", "looking-up"},
		{"accepted", "", "sent", ""}, {"sent", "", "sent", ""}, {"delivered", "", "delivered", ""},
		{"undelivered", "30003", "undelivered", "30003"}, {"failed", "permanent", "failed", "permanent"}, {"held", "deadline", "held", "deadline"},
		{"suppressed", "cancelled", "suppressed", "cancelled"},
	} {
		got := confirmationOf(v, one(c.state, c.reason), time.Time{})
		if got.State != c.wantState || got.Reason != c.wantReason || got.Texts[0].State != c.wantState || got.Texts[0].Reason != c.wantReason {
			t.Errorf("%s: got %+v", c.state, got)
		}
	}

	texts := append(one("delivered", ""), Text{Recipient: "booker", Version: 1, Kind: "confirmation", State: "failed"})
	texts[0].Attempts, texts[0].AcceptedAt, texts[0].DeliveredAt = 1, &utc, &utc
	got := confirmationOf(v, texts, time.Time{})
	if got.State != "delivered" || *got.Texts[0].AcceptedAt != "2021-07-19T20:00:01+09:00" || got.Texts[1].AcceptedAt != nil {
		t.Errorf("the resident's newest text decides, in the programme's zone: %+v", got)
	}

	v.Version, v.Status, v.Booker = 2, booking.StatusCancelled, &booking.Person{}
	got = confirmationOf(v, texts, time.Time{})
	if got.State != "pending" || len(got.Texts) != 4 || got.Texts[2].Kind != "cancellation" || got.Texts[3].Recipient != "booker" {
		t.Errorf("a cancellation that the notifier has not got yet is pending: %+v", got)
	}
}
