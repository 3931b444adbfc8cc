package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

var noon = sqldb.At(time.Date(2026, 7, 26, 12, 0, 0, 0, time.UTC))

func ago(d time.Duration) sqldb.Time { return sqldb.At(noon.Add(-d)) }

func id(kind, n int) string    { return fmt.Sprintf("00000000-0000-7000-%04d-%012d", kind, n) }
func sidOf(n int) string       { return fmt.Sprintf("SM%032x", n) }
func tokenOf(n int) string     { return fmt.Sprintf("%032x", n) }
func reservation(n int) string { return id(1, n) }
func event(n int) string       { return id(2, n) }
func message(n int) string     { return id(3, n) }
func bodyOf(n int) string      { return fmt.Sprintf("text %d", n) }
func phoneOf(n int) string     { return fmt.Sprintf("+8210%08d", n) }

// world writes rows by hand.
type world struct {
	t  *testing.T
	db *sqldb.DB
}

func (w world) exec(query string, args ...any) {
	w.t.Helper()
	err := w.db.Write(w.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
}

// base is a programme with a slot of ten places, and n reservations, booked and texted an hour ago, as they should be.
func base(t *testing.T, db *sqldb.DB, n int) world {
	t.Helper()
	w := world{t, db}
	hour := ago(time.Hour)
	w.exec(`INSERT INTO api_key (id, name, hash, scopes, created_at) VALUES (?, 'key', ?, 'book', ?)`, id(9, 1), []byte{1}, hour)
	w.exec(`INSERT INTO programme (id, name_ko, name_en, tag_ko, tag_en, time_zone, opens_at, closes_at, applied_at)
		VALUES ('p', 'ㄱ', 'p', 'ㄱ', 'p', 'Asia/Seoul', ?, ?, ?)`, ago(48*time.Hour), ago(-48*time.Hour), hour)
	w.exec(`INSERT INTO site (id, programme_id, name_ko, name_en) VALUES ('s', 'p', 'ㄱ', 's')`)
	w.exec(`INSERT INTO slot (id, programme_id, site_id, starts_at, capacity, taken) VALUES ('slot', 'p', 's', ?, 10, ?)`, ago(-24*time.Hour), n)
	for i := 1; i <= n; i++ {
		w.exec(`INSERT INTO reservation (id, code, programme_id, slot_id, api_key_id, version, status, identity_hash, name,
			birth_date, phone, language, created_at, updated_at)
			VALUES (?, ?, 'p', 'slot', ?, 1, 'confirmed', ?, 'name', '1967-01-01', ?, 'ko', ?, ?)`,
			reservation(i), fmt.Sprintf("CODE%06d", i), id(9, 1), []byte{byte(i)}, phoneOf(i), hour, hour)
		w.exec(`INSERT INTO idempotency_key (api_key_id, route, key, fingerprint, status, body, reservation_id, created_at, expires_at)
			VALUES (?, 'POST /v1/reservations', ?, ?, 201, ?, ?, ?, ?)`, id(9, 1), fmt.Sprint(i), []byte{1}, []byte{1}, reservation(i), hour, ago(-time.Hour))
		w.event(i, i, "booked", 1, hour)
		w.message(i, i, "confirmation", 1, "delivered")
		w.attempt(i, i, 1, "delivered", hour)
	}
	return w
}

func (w world) event(n, of int, what string, version int, at sqldb.Time) {
	w.t.Helper()
	w.exec(`INSERT INTO outbox (event_id, type, reservation_id, version, recipients, created_at) VALUES (?, ?, ?, ?, 'resident', ?)`,
		event(n), "ansim.reservation."+what+".v1", reservation(of), version, at)
}

func (w world) message(n, of int, kind string, version int, state string) {
	w.t.Helper()
	hour := ago(time.Hour)
	var accepted, delivered *sqldb.Time
	if state == "accepted" || state == "sent" || state == "delivered" {
		accepted = &hour
	}
	if state == "delivered" {
		delivered = &hour
	}
	w.exec(`INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, state, due_at, attempts, event_at, created_at,
		updated_at, accepted_at, delivered_at) VALUES (?, ?, ?, ?, ?, 'resident', ?, ?, 1, ?, ?, ?, ?, ?)`,
		message(n), event(n), reservation(of), version, kind, state, hour, hour, hour, hour, accepted, delivered)
}

func (w world) attempt(n, of, nth int, state string, at sqldb.Time) {
	w.t.Helper()
	hash := sha256.Sum256([]byte(bodyOf(of)))
	var sid *string
	if state == "accepted" || state == "sent" || state == "delivered" {
		s := sidOf(n)
		sid = &s
	}
	w.exec(`INSERT INTO attempt (token, message_id, n, state, body_hash, provider_sid, started_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		tokenOf(n), message(of), nth, state, hash[:], sid, at)
}

// logLine is a text in the provider's log.
func logLine(sid, token string, n int) string {
	b, _ := json.Marshal(map[string]any{"sid": sid, "token": token, "to": phoneOf(n), "body": bodyOf(n), "at": ago(time.Hour).Time})
	return string(b) + "\n"
}

// logOf is the log of base.
func logOf(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		b.WriteString(logLine(sidOf(i), tokenOf(i), i))
	}
	return b.String()
}

func audit(t *testing.T, db *sqldb.DB, log string) Report {
	t.Helper()
	o := Options{Now: noon.Time}
	if log != "" {
		o.Log = strings.NewReader(log)
	}
	r, err := Run(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestClean(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if r := audit(t, db, ""); r.Failed(true) || r.Figures != (Figures{}) {
			t.Errorf("an empty database: %+v", r)
		}
		base(t, db, 3)
		r := audit(t, db, logOf(3))
		if r.Failed(true) {
			t.Errorf("%+v", r)
		}
		if want := (Figures{Booked: 3, Accepted: 3, Delivered: 3}); r.Figures != want {
			t.Errorf("%+v, want %+v", r.Figures, want)
		}
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "booked 3, accepted 3, delivered 3, waiting 0") {
			t.Errorf("%s %v", &text, err)
		}
		b, err := json.Marshal(r)
		if err != nil || !strings.Contains(string(b), `"duplicates":0,"oversold":0`) {
			t.Errorf("%s %v", b, err)
		}
		if strings.Contains(text.String()+string(b), "+8210") {
			t.Error("a number is in the report")
		}
	})
}

// TestFinds breaks each promise in each way, in a database of its own schema's making, and expects that finding alone.
func TestFinds(t *testing.T) {
	t.Parallel()
	cancel := func(w world, n int, at sqldb.Time) { // of reservation n, with its text
		w.exec(`UPDATE reservation SET status = 'cancelled', version = 2 WHERE id = ?`, reservation(n))
		w.exec(`UPDATE slot SET taken = taken - 1`)
		w.event(100+n, n, "cancelled", 2, at)
		w.message(100+n, n, "cancellation", 2, "delivered")
		w.attempt(100+n, 100+n, 1, "delivered", at)
	}
	for name, c := range map[string]struct {
		breaks      func(w world)
		id, finding string
		example     string
		open        bool // open, not broken
	}{
		"a change without an outbox row": {func(w world) {
			w.exec(`UPDATE reservation SET version = 2 WHERE id = ?`, reservation(2))
		}, "I1", "reservation with a change that the outbox never had", reservation(2), false},
		"an outbox row too many": {func(w world) { w.event(50, 2, "booked", 1, ago(time.Second)) },
			"I1", "reservation with two outbox rows for one change", reservation(2), false},
		"no message": {func(w world) {
			w.exec(`DELETE FROM attempt WHERE token = ?`, tokenOf(2))
			w.exec(`DELETE FROM message WHERE id = ?`, message(2))
		}, "I1", "event that never became a message", event(2), false},
		"no message for the booker": {func(w world) {
			w.exec(`UPDATE outbox SET recipients = 'resident,booker' WHERE event_id = ?`, event(2))
		}, "I1", "event that never became a message", event(2), false},
		"no message yet": {func(w world) {
			w.exec(`DELETE FROM attempt WHERE token = ?`, tokenOf(2))
			w.exec(`DELETE FROM message WHERE id = ?`, message(2))
			w.exec(`UPDATE outbox SET created_at = ? WHERE event_id = ?`, ago(30*time.Second), event(2))
		}, "I1", "", "", true},
		"a message that waits": {func(w world) {
			w.exec(`UPDATE attempt SET provider_sid = NULL, state = 'not_sent' WHERE token = ?`, tokenOf(2))
			w.exec(`UPDATE message SET state = 'pending', due_at = ? WHERE id = ?`, ago(time.Minute), message(2))
		}, "I1", "", "", true},
		"a message that nobody sends": {func(w world) {
			w.exec(`UPDATE attempt SET provider_sid = NULL, state = 'not_sent' WHERE token = ?`, tokenOf(2))
			w.exec(`UPDATE message SET state = 'pending', due_at = ? WHERE id = ?`, ago(31*time.Minute), message(2))
		}, "I1", "message that nobody sends", message(2), false},
		"no reason": {func(w world) {
			w.exec(`UPDATE message SET state = 'failed' WHERE id = ?`, message(2))
		}, "I1", "exception that does not say why", message(2), false},
		"accepted without a SID": {func(w world) {
			w.exec(`UPDATE attempt SET provider_sid = NULL WHERE token = ?`, tokenOf(2))
		}, "I1", "accepted message of which no attempt was accepted", message(2), false},
		"suppressed as cancelled": {func(w world) {
			w.exec(`UPDATE message SET state = 'suppressed', reason = 'cancelled' WHERE id = ?`, message(2))
		}, "I1", "message suppressed as cancelled, though it was not", message(2), false},
		"suppressed as superseded": {func(w world) {
			w.exec(`UPDATE message SET state = 'suppressed', reason = 'superseded' WHERE id = ?`, message(2))
		}, "I1", "message suppressed as superseded by nothing", message(2), false},
		"suppressed as past": {func(w world) {
			w.exec(`UPDATE message SET state = 'suppressed', reason = 'appointment-past' WHERE id = ?`, message(2))
		}, "I1", "message suppressed as past before the appointment", message(2), false},
		"accepted twice": {func(w world) { w.attempt(50, 2, 2, "accepted", ago(time.Minute)) },
			"I2", "attempt after another that was accepted", tokenOf(50), false},
		"oversold": {func(w world) { w.exec(`UPDATE slot SET capacity = 2, taken = 2`) },
			"I3", "slot with more reservations than places", "slot", false},
		"miscounted": {func(w world) { w.exec(`UPDATE slot SET taken = 4`) },
			"I3", "slot that counts wrong", "slot", false},
		"booked twice": {func(w world) {
			w.exec(`DROP INDEX reservation_one_active`)
			w.exec(`UPDATE reservation SET identity_hash = ?`, []byte{7})
		}, "I3", "person with two reservations in one programme", reservation(1), false},
		"a text for nobody": {func(w world) {
			w.message(50, 50, "confirmation", 1, "pending")
			w.exec(`UPDATE message SET due_at = ? WHERE id = ?`, ago(0), message(50))
		},
			"I4", "message without a reservation", message(50), false},
		"a text of the future": {func(w world) {
			w.event(50, 2, "changed", 2, ago(time.Minute))
			w.message(50, 2, "change", 2, "delivered")
			w.attempt(50, 50, 1, "delivered", ago(time.Minute))
		},
			"I4", "message of a version that never was", message(50), false},
		"an event for nobody": {func(w world) { w.event(50, 50, "booked", 1, ago(time.Second)) },
			"I4", "event of a version that never was", event(50), false},
		"a text without an event": {func(w world) {
			w.exec(`UPDATE message SET event_id = ?, resend = 1 WHERE id = ?`, event(50), message(2))
			w.exec(`UPDATE outbox SET created_at = ? WHERE event_id = ?`, ago(time.Second), event(2))
		}, "I4", "message without an event", message(2), false},
		"a cancellation of nothing": {func(w world) {
			w.exec(`UPDATE outbox SET type = 'ansim.reservation.cancelled.v1' WHERE event_id = ?`, event(2))
			w.exec(`UPDATE message SET kind = 'cancellation' WHERE id = ?`, message(2))
		}, "I4", "cancellation of what is not cancelled", message(2), false},
		"another kind": {func(w world) { w.exec(`UPDATE message SET kind = 'change' WHERE id = ?`, message(2)) },
			"I4", "message of another kind than its event", message(2), false},
		"a text after the cancel": {func(w world) {
			cancel(w, 2, ago(30*time.Minute))
			w.exec(`UPDATE attempt SET started_at = ? WHERE token = ?`, ago(29*time.Minute), tokenOf(2))
		}, "I4", "attempt that began after the reservation was changed or cancelled", tokenOf(2), false},
		"two keys, one reservation": {func(w world) { w.exec(`UPDATE idempotency_key SET reservation_id = ?`, reservation(2)) },
			"I5", "reservation made by two keys", reservation(2), false},
		"acknowledged and gone": {func(w world) {
			w.exec(`UPDATE idempotency_key SET reservation_id = ? WHERE key = '2'`, reservation(50))
		},
			"I5", "acknowledged reservation that does not exist", reservation(50), false},
		"unknown": {func(w world) {
			w.exec(`UPDATE attempt SET state = 'unknown', provider_sid = NULL, unknown_at = ? WHERE token = ?`, ago(29*time.Minute), tokenOf(2))
			w.exec(`UPDATE message SET state = 'unknown' WHERE id = ?`, message(2))
		}, "I8", "", "", true},
		"unknown for too long": {func(w world) {
			w.exec(`UPDATE attempt SET state = 'unknown', provider_sid = NULL, unknown_at = ? WHERE token = ?`, ago(31*time.Minute), tokenOf(2))
			w.exec(`UPDATE message SET state = 'unknown' WHERE id = ?`, message(2))
		}, "I8", "outcome that nobody has resolved", tokenOf(2), false},
		"an open attempt of a pending message": {func(w world) {
			w.exec(`UPDATE attempt SET state = 'open', provider_sid = NULL WHERE token = ?`, tokenOf(2))
			w.exec(`UPDATE message SET state = 'pending', due_at = ? WHERE id = ?`, ago(0), message(2))
		}, "I8", "request that nobody waits for", tokenOf(2), false},
		"unknown without an attempt": {func(w world) {
			w.exec(`DELETE FROM attempt WHERE token = ?`, tokenOf(2))
			w.exec(`UPDATE message SET state = 'unknown' WHERE id = ?`, message(2))
		}, "I8", "unknown message without an unknown attempt", message(2), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				w := base(t, db, 3)
				c.breaks(w)
				r := audit(t, db, "")
				if r.Failed(false) == c.open || !r.Failed(true) {
					t.Errorf("%+v", r.Invariants)
				}
				found := false
				for _, i := range r.Invariants {
					found = found || c.open && i.ID == c.id && i.Open > 0
					for _, e := range i.Examples {
						found = found || i.ID == c.id && e == Example{c.finding, c.example}
					}
				}
				if !found {
					t.Errorf("%s %q of %s is not in %+v", c.id, c.finding, c.example, r.Invariants)
				}
			})
		})
	}
}

// TestKnownResidue: what the promises allow for is no violation.
func TestKnownResidue(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := base(t, db, 3)
		// The answer to the first attempt was lost, a further one was accepted, and then the first turned up as well.
		w.exec(`UPDATE attempt SET unknown_at = ? WHERE token = ?`, ago(50*time.Minute), tokenOf(1))
		w.attempt(50, 1, 2, "delivered", ago(40*time.Minute))
		// A text that was not delivered was tried again.
		w.exec(`UPDATE attempt SET state = 'undelivered' WHERE token = ?`, tokenOf(2))
		w.attempt(51, 2, 2, "delivered", ago(40*time.Minute))
		// Cancelled a second before the attempt began: the clocks of two transactions.
		w.exec(`UPDATE reservation SET status = 'cancelled', version = 2 WHERE id = ?`, reservation(3))
		w.exec(`UPDATE slot SET taken = taken - 1`)
		w.event(60, 3, "cancelled", 2, sqldb.At(noon.Add(-time.Hour-time.Second)))
		w.message(60, 3, "cancellation", 2, "delivered")
		w.attempt(60, 60, 1, "delivered", ago(time.Hour))
		r := audit(t, db, logOf(3)+logLine(sidOf(50), tokenOf(50), 1)+logLine(sidOf(51), tokenOf(51), 2)+
			strings.Replace(logLine(sidOf(60), tokenOf(60), 3), bodyOf(3), bodyOf(60), 1))
		if r.Failed(true) {
			t.Errorf("%+v", r.Invariants)
		}
		if want := (Figures{Booked: 3, Accepted: 3, Delivered: 3, Duplicates: 1}); r.Figures != want {
			t.Errorf("%+v, want %+v", r.Figures, want)
		}
	})
}

func TestFigures(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := base(t, db, 6)
		gone := func(n int) { w.exec(`DELETE FROM attempt WHERE token = ?`, tokenOf(n)) }
		for n := 2; n <= 5; n++ {
			gone(n)
			w.exec(`UPDATE message SET accepted_at = NULL, delivered_at = NULL WHERE id = ?`, message(n))
		}
		w.exec(`UPDATE message SET state = 'pending', due_at = ? WHERE id = ?`, ago(0), message(2))
		w.exec(`UPDATE message SET state = 'failed', reason = 'error-21211' WHERE id = ?`, message(3))
		w.exec(`DELETE FROM message WHERE id = ?`, message(4))
		w.exec(`UPDATE message SET state = 'pending', due_at = ? WHERE id = ?`, ago(time.Hour), message(5))
		w.exec(`UPDATE message SET state = 'sent', delivered_at = NULL WHERE id = ?`, message(6))
		w.exec(`UPDATE slot SET capacity = 4, taken = 4`)
		want := Figures{Booked: 6, Accepted: 2, Delivered: 1, Waiting: 1, Explained: 1, Lost: 2, Oversold: 2}
		if got := audit(t, db, "").Figures; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// TestLog breaks what only the provider's log can tell.
func TestLog(t *testing.T) {
	t.Parallel()
	stranger := logLine(sidOf(70), tokenOf(70), 1)
	for name, c := range map[string]struct {
		breaks      func(w world)
		log         string
		id, finding string
	}{
		"a text of nobody's":     {nil, logOf(3) + stranger, "I16-log", "text without an attempt"},
		"a text without a token": {nil, logOf(3) + logLine(sidOf(70), "", 1), "I16-log", "text without an attempt"},
		"a text that never was":  {nil, logOf(2), "I16-log", "accepted text that the provider does not know"},
		"one attempt, two texts": {nil, logOf(3) + logLine(sidOf(70), tokenOf(3), 3), "I16-log", "second text of one attempt"},
		"one message, two texts": {nil, logOf(3) + logLine(sidOf(70), tokenOf(3), 3), "I2-log", "text that was taken twice"},
		"another body":           {nil, strings.Replace(logOf(3), bodyOf(2), "else", 1), "I6-log", "text that says something else"},
		"another number":         {nil, strings.Replace(logOf(3), phoneOf(2), phoneOf(9), 1), "I6-log", "text that went to another number"},
		"a text that we think unsent": {func(w world) {
			w.exec(`UPDATE attempt SET state = 'not_sent', provider_sid = NULL WHERE token = ?`, tokenOf(2))
			w.exec(`UPDATE message SET state = 'pending', due_at = ? WHERE id = ?`, ago(0), message(2))
		}, logOf(3), "I16-log", "text that we count as not sent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				w := base(t, db, 3)
				if c.breaks != nil {
					c.breaks(w)
				}
				found := false
				r := audit(t, db, c.log)
				for _, i := range r.Invariants {
					for _, e := range i.Examples {
						found = found || i.ID == c.id && e.Finding == c.finding && i.Violations > 0
					}
				}
				if !found || !r.Failed(false) {
					t.Errorf("%+v", r.Invariants)
				}
			})
		})
	}
}

func TestUnreadableLog(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t, sqldb.Options{})
	for _, log := range []string{"{", "[]", `{"to": "` + phoneOf(1) + `"}`, strings.Repeat("x", 2<<20)} {
		_, err := Run(t.Context(), db, Options{Log: strings.NewReader(log)})
		if !errors.Is(err, ErrLog) || strings.Contains(err.Error(), "+82") {
			t.Errorf("%.20q: %v", log, err)
		}
	}
}

// TestReadOnly: the audit runs on a database that was opened for reading alone, beside one that writes.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t, sqldb.Options{})
	base(t, db, 2)
	ro, err := sqldb.Open(t.Context(), "sqlite:"+db.Path(), sqldb.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ro.Close() })
	if r := audit(t, ro, logOf(2)); r.Failed(true) || r.Figures.Delivered != 2 {
		t.Errorf("%+v", r)
	}
}
