package audit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
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
func phoneOf(n int) string     { return fmt.Sprintf("+8210%08d", n) }

// body is a text about reservation n: its slot is at 21:00 in Seoul on 27 July.
func body(kind string, n int) string {
	word := map[string]string{"confirmation": "예약완료", "change": "예약변경", "cancellation": "예약취소"}[kind]
	return fmt.Sprintf("[백신] %s\n7/27(월)21:00 보건소\n번호 ABCDE-%05d", word, n)
}

// world writes rows by hand.
type world struct {
	t  *testing.T
	db *sqldb.DB
	// said is what the message with this number says.
	said map[int]string
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
	w := world{t, db, map[int]string{}}
	hour := ago(time.Hour)
	w.exec(`INSERT INTO api_key (id, name, hash, scopes, created_at) VALUES (?, 'key', ?, 'book', ?)`, id(9, 1), []byte{1}, hour)
	w.exec(`INSERT INTO programme (id, name_ko, name_en, tag_ko, tag_en, time_zone, opens_at, closes_at, applied_at)
		VALUES ('p', 'ㄱ', 'p', 'ㄱ', 'p', 'Asia/Seoul', ?, ?, ?)`, ago(48*time.Hour), ago(-48*time.Hour), ago(3*time.Hour))
	w.exec(`INSERT INTO site (id, programme_id, name_ko, name_en) VALUES ('s', 'p', 'ㄱ', 's')`)
	w.exec(`INSERT INTO slot (id, programme_id, site_id, starts_at, capacity, taken) VALUES ('slot', 'p', 's', ?, 10, ?)`, ago(-24*time.Hour), n)
	for i := 1; i <= n; i++ {
		w.exec(`INSERT INTO reservation (id, code, programme_id, slot_id, api_key_id, version, status, identity_hash, name,
			birth_date, phone, language, created_at, updated_at)
			VALUES (?, ?, 'p', 'slot', ?, 1, 'confirmed', ?, 'name', '1967-01-01', ?, 'ko', ?, ?)`,
			reservation(i), fmt.Sprintf("ABCDE%05d", i), id(9, 1), []byte{byte(i)}, phoneOf(i), hour, hour)
		w.exec(`INSERT INTO idempotency_key (api_key_id, route, key, fingerprint, status, body, reservation_id, created_at, expires_at)
			VALUES (?, 'POST /v1/reservations', ?, ?, 201, ?, ?, ?, ?)`, id(9, 1), fmt.Sprint(i), []byte{1}, []byte{1}, reservation(i), hour, ago(-time.Hour))
		w.event(i, i, "booked", 1, 0, hour)
		w.message(i, i, "confirmation", 1, 0, "delivered")
		w.attempt(i, i, 1, "delivered", hour)
	}
	return w
}

func (w world) event(n, of int, what string, version, resend int, at sqldb.Time) {
	w.t.Helper()
	w.exec(`INSERT INTO outbox (event_id, type, reservation_id, version, recipients, resend, created_at) VALUES (?, ?, ?, ?, 'resident', ?, ?)`,
		event(n), "ansim.reservation."+what+".v1", reservation(of), version, resend, at)
}

// message writes message n of an event of that number, with what is due for it now.
func (w world) message(n, of int, kind string, version, resend int, state string) {
	w.t.Helper()
	w.said[n] = body(kind, of)
	hour := ago(time.Hour)
	w.exec(`INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, resend, state, event_at, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, 'resident', ?, ?, ?, ?, ?)`, message(n), event(n), reservation(of), version, kind, resend, state, hour, hour, hour)
	w.due(n, map[string]string{"pending": "send", "undelivered": "send", "sending": "answer", "unknown": "look", "accepted": "poll",
		"sent": "poll", "held": "person", "failed": "person"}[state], noon)
	w.times(n)
}

// due sets what is due for message n, "" for nothing.
func (w world) due(n int, job string, at sqldb.Time) {
	w.t.Helper()
	w.exec(`DELETE FROM message_queue WHERE message_id = ?`, message(n))
	if job != "" {
		w.exec(`INSERT INTO message_queue (message_id, job, priority, due_at, since) VALUES (?, ?, 0, ?, ?)`, message(n), job, at, ago(time.Hour))
	}
}

// times makes what message n counts agree with its attempts.
func (w world) times(n int) {
	w.t.Helper()
	w.exec(`UPDATE message SET attempts = (SELECT COUNT(*) FROM attempt WHERE message_id = message.id),
		accepted_at = (SELECT MIN(started_at) FROM attempt WHERE message_id = message.id AND provider_sid IS NOT NULL),
		delivered_at = (SELECT MIN(started_at) FROM attempt WHERE message_id = message.id AND state = 'delivered') WHERE id = ?`, message(n))
}

// attempt writes attempt nth of message of, with a token of number n. It had its answer a second after it began, and its
// receipts ten seconds after that.
func (w world) attempt(n, of, nth int, state string, at sqldb.Time) {
	w.t.Helper()
	hash := sha256.Sum256([]byte(w.said[of]))
	answered := sqldb.At(at.Add(time.Second))
	var sid *string
	var finished, unknown *sqldb.Time
	status := 0
	switch state {
	case "open":
	case "unknown":
		finished, unknown = &answered, &answered
	case "not_sent", "rejected":
		finished = &answered
	default:
		s := sidOf(n)
		sid, finished, status = &s, &answered, 201
	}
	w.exec(`INSERT INTO attempt (token, message_id, n, state, body_hash, provider_sid, http_status, started_at, unknown_at, finished_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, tokenOf(n), message(of), nth, state, hash[:], sid, status, at, unknown, finished)
	if sid != nil {
		w.exec(`INSERT INTO provider_text (provider_sid, attempt_token) VALUES (?, ?)`, sid, tokenOf(n))
	}
	if state == "sent" || state == "failed" || state == "undelivered" || state == "delivered" {
		w.receipt(n, state, sqldb.At(at.Add(11*time.Second)))
	}
	w.times(of)
}

func (w world) receipt(of int, status string, at sqldb.Time) {
	w.t.Helper()
	w.exec(`INSERT INTO receipt (attempt_token, provider_sid, status, source, received_at) VALUES (?, ?, ?, 'callback', ?)`,
		tokenOf(of), sidOf(of), status, at)
}

// undo takes the attempt and receipts of message n of base away.
func (w world) undo(n int) {
	w.t.Helper()
	w.exec(`DELETE FROM receipt WHERE attempt_token = ?`, tokenOf(n))
	w.exec(`DELETE FROM provider_text WHERE attempt_token = ?`, tokenOf(n))
	w.exec(`DELETE FROM attempt WHERE token = ?`, tokenOf(n))
	w.times(n)
}

// becomes gives message n of base another state, and its one attempt, which began an hour ago, another end.
func (w world) becomes(n int, state, reason, attempt string) {
	w.t.Helper()
	w.undo(n)
	w.exec(`UPDATE message SET state = ?, reason = ? WHERE id = ?`, state, reason, message(n))
	w.due(n, map[string]string{"pending": "send", "undelivered": "send", "sending": "answer", "unknown": "look", "accepted": "poll",
		"sent": "poll", "held": "person", "failed": "person"}[state], noon)
	if attempt != "" {
		w.attempt(n, n, 1, attempt, ago(time.Hour))
	}
}

// cancel cancels reservation n of base and tells the person.
func (w world) cancel(n int, at sqldb.Time) {
	w.t.Helper()
	w.exec(`UPDATE reservation SET status = 'cancelled', version = 2, updated_at = ? WHERE id = ?`, at, reservation(n))
	w.exec(`UPDATE slot SET taken = taken - 1`)
	w.event(100+n, n, "cancelled", 2, 0, at)
	w.message(100+n, n, "cancellation", 2, 0, "delivered")
	w.attempt(100+n, 100+n, 1, "delivered", sqldb.At(at.Add(time.Minute)))
}

// change corrects the contact of reservation n of base and tells the person.
func (w world) change(n int, at sqldb.Time) {
	w.t.Helper()
	w.exec(`UPDATE reservation SET version = 2, updated_at = ? WHERE id = ?`, at, reservation(n))
	w.event(200+n, n, "changed", 2, 0, at)
	w.message(200+n, n, "change", 2, 0, "delivered")
	w.attempt(200+n, 200+n, 1, "delivered", sqldb.At(at.Add(time.Minute)))
}

// again sends the text of reservation n of base again, as a person asked for.
func (w world) again(n int, whileUnknown int) {
	w.t.Helper()
	w.event(300+n, n, "booked", 1, 1, ago(20*time.Minute))
	w.exec(`INSERT INTO resend (event_id, reservation_id, version, number, recipients, reason, requested_by, while_unknown, created_at)
		VALUES (?, ?, 1, 1, 'resident', 'lost', 'cli', ?, ?)`, event(300+n), reservation(n), whileUnknown, ago(20*time.Minute))
	w.message(300+n, n, "confirmation", 1, 1, "delivered")
	w.attempt(300+n, 300+n, 1, "delivered", ago(19*time.Minute))
}

// trail writes entries, each chained to the one before it as far as it does not say otherwise, and the head.
func (w world) trail(entries ...trailRow) {
	w.t.Helper()
	first := sha256.Sum256([]byte("ansim staff trail 1"))
	previous, seq := first[:], int64(0)
	for _, e := range entries {
		if seq++; e.Seq != 0 {
			seq = e.Seq
		}
		e.Seq, e.At = seq, noon
		if e.Previous == nil {
			e.Previous = previous
		}
		if e.Hash == nil {
			e.Hash = e.sum()
		}
		var reservation *string
		if e.Reservation != "" {
			reservation = &e.Reservation
		}
		w.exec(`INSERT INTO staff_trail (seq, at, actor, action, reservation_id, detail, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			e.Seq, e.At, e.Actor, e.Action, reservation, e.Detail, e.Previous, e.Hash)
		previous = e.Hash
	}
	w.exec(`INSERT INTO staff_trail_head (id, seq, hash) VALUES (1, ?, ?)`, seq, previous)
}

// park sets event n aside, as the sweeper does.
func (w world) park(n int) {
	w.t.Helper()
	w.exec(`INSERT INTO parked_event (id, topic, topic_partition, topic_offset, headers, body, reason, parked_at)
		VALUES (?, 'outbox', 0, 0, '{}', ?, 'the database refuses it', ?)`, fmt.Sprint(n), []byte(event(n)), ago(time.Minute))
}

// forget takes message n of base away altogether.
func (w world) forget(n int) {
	w.t.Helper()
	w.undo(n)
	w.due(n, "", noon)
	w.exec(`DELETE FROM message WHERE id = ?`, message(n))
}

// unbound takes the unique keys from the table of messages.
func (w world) unbound() {
	w.t.Helper()
	if w.db.Dialect() == sqldb.Postgres {
		w.exec(`ALTER TABLE message DROP CONSTRAINT message_once_per_text`)
		return
	}
	for _, q := range []string{`PRAGMA foreign_keys = OFF`, `CREATE TABLE copied AS SELECT * FROM message`, `DROP TABLE message`,
		`ALTER TABLE copied RENAME TO message`} {
		if _, err := w.db.Pool().ExecContext(w.t.Context(), q); err != nil {
			w.t.Fatal(err)
		}
	}
}

// taken is a text in the network's log.
func taken(sid, token, to, body string) string {
	b, _ := json.Marshal(map[string]any{"sid": sid, "token": token, "to": to, "body": body, "at": ago(time.Hour).Time})
	return string(b) + "\n"
}

// line is what the log has of attempt n of message of about reservation r.
func (w world) line(n, of, r int) string { return taken(sidOf(n), tokenOf(n), phoneOf(r), w.said[of]) }

// logOf is the log of base.
func (w world) logOf(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		b.WriteString(w.line(i, i, i))
	}
	return b.String()
}

func audit(t *testing.T, db *sqldb.DB, o Options) Report {
	t.Helper()
	o.Now = noon.Time
	r, err := Run(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func withLog(log string) Options { return Options{Log: strings.NewReader(log)} }

// found says whether the report has an example of a finding; example "" stands for any.
func found(r Report, id, finding, example string) bool {
	for _, i := range r.Invariants {
		for _, e := range i.Examples {
			if i.ID == id && i.Violations > 0 && e.Finding == finding && (example == "" || e.ID == example) {
				return true
			}
		}
	}
	return false
}

// each runs fn on both databases with a world of n reservations.
func each(t *testing.T, n int, fn func(t *testing.T, w world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) { fn(t, base(t, db, n)) })
}

// shown is what a report says of what is not as it should be.
func shown(r Report) string {
	var b strings.Builder
	for _, i := range r.Invariants {
		if i.Violations > 0 || i.Open > 0 {
			fmt.Fprintf(&b, "\n%s: %d broken, %d open, %+v %q", i.ID, i.Violations, i.Open, i.Examples, i.Notes)
		}
	}
	return b.String()
}
