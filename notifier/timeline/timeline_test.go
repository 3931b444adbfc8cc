package timeline_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/timeline"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

const file = `
id: covid
name: {ko: 코로나19 예방접종, en: COVID-19 vaccination}
tag: {ko: 백신예약, en: Vaccine}
time_zone: Asia/Seoul
opens_at: 2021-07-19T20:00:00+09:00
closes_at: 2021-07-24T18:00:00+09:00
sites:
  - {id: gangnam, name: {ko: 강남구보건소, en: Gangnam Health Center}}
slots:
  - {id: g1, site: gangnam, starts_at: 2021-07-26T10:30:00+09:00, capacity: 1}
  - {id: g2, site: gangnam, starts_at: 2021-07-26T10:40:00+09:00, capacity: 1}
`

// A reservation that was booked, moved, corrected and cancelled, with texts that went every way there is.
func TestRead(t *testing.T) {
	t.Parallel()
	dbtest.EachAt(t, time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC), func(t *testing.T, db *sqldb.DB, c *dbtest.Clock) {
		now := c.Now()
		id := book(t, db)
		at := func(seconds int) sqldb.Time { return sqldb.At(now.Add(time.Duration(seconds) * time.Second)) }
		message := func(n, version int, kind, state, reason string) string {
			id, event := fmt.Sprintf("00000000-0000-7000-8000-%012d", n), fmt.Sprintf("10000000-0000-7000-8000-%012d", n)
			exec(t, db, `INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, state, reason, event_at, created_at, updated_at)
				VALUES (?, ?, ?, ?, ?, 'resident', ?, ?, ?, ?, ?)`, id, event, reservation(t, db), version, kind, state, reason, at(0), at(10*version), at(10*version+9))
			return id
		}
		attempt := func(message string, n int, state string, code, started int, unknown, finished *sqldb.Time) string {
			token := strings.Repeat(fmt.Sprint(n), 4) + message[24:]
			exec(t, db, `INSERT INTO attempt (token, message_id, n, state, body_hash, error_code, started_at, unknown_at, finished_at)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, token, message, n, state, []byte("x"), code, at(started), unknown, finished)
			return token
		}
		receipt := func(token, status string, code, received int) {
			exec(t, db, `INSERT INTO receipt (attempt_token, provider_sid, status, error_code, source, received_at) VALUES (?, 'SM1', ?, ?, 'callback', ?)`,
				token, status, code, at(received))
		}
		ptr := func(seconds int) *sqldb.Time { t := at(seconds); return &t }

		first := message(1, 1, "confirmation", "delivered", "")
		attempt(first, 1, "not_sent", 0, 11, nil, ptr(12))
		lost := attempt(first, 2, "undelivered", 30003, 13, ptr(14), ptr(14))
		receipt(lost, "sent", 0, 15)
		receipt(lost, "undelivered", 30003, 16)
		arrived := attempt(first, 3, "delivered", 0, 17, nil, ptr(18))
		receipt(arrived, "delivered", 0, 19)
		second := message(2, 2, "change", "failed", "error-21211")
		attempt(second, 1, "rejected", 21211, 21, nil, ptr(22))
		message(3, 3, "change", "suppressed", notifier.ReasonCancelled)

		entries, err := timeline.Read(t.Context(), db, id)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, fmt.Sprintf("v%d %s %d %s", e.Version, e.Type, e.Attempt, e.Reason))
			if e.Sentence("ko") == "" || e.Sentence("en") == "" || e.Sentence("ko") == e.Sentence("en") {
				t.Errorf("%s has no sentence", e.Type)
			}
			if e.At.Location().String() != "Asia/Seoul" {
				t.Errorf("%s at %v", e.Type, e.At)
			}
		}
		want := []string{
			"v1 booked 0 ", "v2 rescheduled 0 ", "v3 contact-corrected 0 ", "v4 cancelled 0 ",
			"v1 text-queued 0 ", "v1 text-handed-over 1 ", "v1 text-not-sent 1 provider-not-reached", "v1 text-handed-over 2 ",
			"v1 text-unknown 2 answer-lost", "v1 text-found 2 ", "v1 text-sent 2 ", "v1 text-undelivered 2 error-30003",
			"v1 text-handed-over 3 ", "v1 text-accepted 3 ", "v1 text-delivered 3 ",
			"v2 text-queued 0 ", "v2 text-handed-over 1 ", "v2 text-refused 1 error-21211", "v2 text-failed 0 error-21211",
			"v3 text-queued 0 ", "v3 text-suppressed 0 cancelled",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if !slices.IsSortedFunc(entries, func(a, b timeline.Entry) int { return a.At.Compare(b.At) }) {
			t.Error("not in the order of time")
		}
		if entries[1].Slot == nil || entries[1].Slot.ID != "g2" || entries[0].Slot == nil || entries[0].Slot.ID != "g1" {
			t.Errorf("slots %+v, %+v", entries[0].Slot, entries[1].Slot)
		}
		for _, id := range []string{"", "x", "00000000-0000-7000-8000-000000000000"} {
			if _, err := timeline.Read(t.Context(), db, id); !errors.Is(err, booking.ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
}

// book makes the reservation, with all its changes in one instant, and returns its id.
func book(t *testing.T, db *sqldb.DB) string {
	t.Helper()
	p, err := booking.ParseProgramme(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := booking.ApplyProgramme(t.Context(), db, p, booking.ApplyOptions{By: "test"}); err != nil {
		t.Fatal(err)
	}
	ids, err := booking.OpenIdentities(t.Context(), db, []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := booking.CreateKey(t.Context(), db, booking.KeySpec{Name: "clinic"})
	if err != nil {
		t.Fatal(err)
	}
	client, err := booking.NewKeys(db, nil).Authenticate(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := booking.NewService(db, ids, booking.Options{})
	t.Cleanup(s.Stop)
	call := func(key string) booking.Call {
		return booking.Call{Client: client, Key: key, Route: "test", Fingerprint: sha256.Sum256([]byte(key))}
	}
	r, err := s.Book(t.Context(), call("1"), booking.BookRequest{SlotID: "g1", Identity: "me", Name: "홍길동", BirthDate: "1967-03-21", Phone: "+821012345678", Language: "ko"})
	if err != nil {
		t.Fatal(err)
	}
	id := r.Reservation.ID
	_, moved := s.Reschedule(t.Context(), call("2"), id, "g2", 0)
	_, corrected := s.Correct(t.Context(), call("3"), id, booking.Correction{Phone: "+821055556666"}, 0)
	_, cancelled := s.Cancel(t.Context(), call("4"), id, 0)
	if err := errors.Join(moved, corrected, cancelled); err != nil {
		t.Fatal(err)
	}
	return id
}

// reservation is the id of the only one.
func reservation(t *testing.T, db *sqldb.DB) (id string) {
	t.Helper()
	if err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return tx.Get(ctx, &id, "SELECT id FROM reservation") }); err != nil {
		t.Fatal(err)
	}
	return id
}

func exec(t *testing.T, db *sqldb.DB, statement string, args ...any) {
	t.Helper()
	if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, statement, args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
