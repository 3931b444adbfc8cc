package notifier_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"ansim/notifier"
	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// now is what all clocks of these tests say.
var parkedNow = time.Date(2021, 7, 20, 12, 0, 0, 0, time.UTC)

// world is a database with reservations, and with texts and events that are parked.
type world struct {
	t  testing.TB
	db *sqldb.DB
	n  int

	// Around a resend, outside of its transaction; only for tests with one redrive at a time.
	hook, after func(r notifier.ResendRequest) error
}

// eachWorld runs fn on both databases.
func eachWorld(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.EachAt(t, parkedNow, func(t *testing.T, db *sqldb.DB, _ *dbtest.Clock) { fn(t, newWorld(t, db)) })
}

const worldKey = "018f3c5e-7b1a-7000-8000-0000000000aa"

func newWorld(t testing.TB, db *sqldb.DB) *world {
	w := &world{t: t, db: db}
	at := sqldb.At(parkedNow.Add(-48 * time.Hour))
	w.exec(`INSERT INTO api_key (id, name, hash, scopes, created_at) VALUES (?, 'k', ?, 'book', ?)`, worldKey, []byte{1}, at)
	w.exec(`INSERT INTO programme (id, name_ko, name_en, tag_ko, tag_en, time_zone, opens_at, closes_at, applied_at)
		VALUES ('p', 'ㄱ', 'P', 'ㄱ', 'P', 'Asia/Seoul', ?, ?, ?)`, at, sqldb.At(parkedNow.Add(240*time.Hour)), at)
	w.exec(`INSERT INTO site (id, programme_id, name_ko, name_en) VALUES ('s', 'p', 'ㄱ', 'S')`)
	for id, hours := range map[string]time.Duration{"soon": 72, "past": -1} {
		w.exec(`INSERT INTO slot (id, programme_id, site_id, starts_at, capacity) VALUES (?, 'p', 's', ?, 1000000)`, id,
			sqldb.At(parkedNow.Add(hours*time.Hour)))
	}
	return w
}

func (w *world) exec(query string, args ...any) int64 {
	w.t.Helper()
	var n int64
	err := w.db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		n, err = tx.Exec(ctx, query, args...)
		return err
	})
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// reservation makes one in a slot, with a version.
func (w *world) reservation(slot string, version int) string {
	w.t.Helper()
	w.n++
	id, at := uuid.Must(uuid.NewV7()).String(), sqldb.At(parkedNow.Add(-24*time.Hour))
	w.exec(`INSERT INTO reservation (id, code, programme_id, slot_id, api_key_id, version, status, identity_hash, name, birth_date,
		phone, language, created_at, updated_at) VALUES (?, ?, 'p', ?, ?, ?, 'confirmed', ?, '홍길동', '1967-05-05', '+821012345678',
		'ko', ?, ?)`, id, fmt.Sprintf("K7Q%07d", w.n), slot, worldKey, version, []byte(id), at, at)
	return id
}

// parkedText is a text to insert; its zero values stand for the resident's first confirmation, failed.
type parkedText struct {
	reservation string
	version     int
	kind        notifier.Kind
	recipient   event.Recipient
	resend      int
	state       notifier.State
	reason      string
	since       time.Duration // before parkedNow
	attempts    []notifier.AttemptState
}

// text inserts one and returns its id.
func (w *world) text(p parkedText) string {
	w.t.Helper()
	if p.version == 0 {
		p.version = 1
	}
	if p.kind == "" {
		p.kind = notifier.Confirmation
	}
	if p.recipient == "" {
		p.recipient = event.Resident
	}
	if p.state == "" {
		p.state = notifier.StateFailed
	}
	id, at := uuid.Must(uuid.NewV7()).String(), sqldb.At(parkedNow.Add(-p.since))
	w.exec(`INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, resend, state, reason, attempts, event_at,
		created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, id, uuid.NewString(), p.reservation, p.version,
		string(p.kind), string(p.recipient), p.resend, string(p.state), p.reason, len(p.attempts), at, at, at)
	if p.state == notifier.StateHeld || p.state == notifier.StateFailed {
		w.exec(`INSERT INTO message_queue (message_id, job, priority, due_at, since) VALUES (?, 'person', 0, ?, ?)`, id, at, at)
	}
	for i, s := range p.attempts {
		w.exec(`INSERT INTO attempt (token, message_id, n, state, body_hash, started_at) VALUES (?, ?, ?, ?, ?, ?)`,
			uuid.NewString(), id, i+1, string(s), []byte{1}, at)
	}
	return id
}

// open inserts a text of a reservation of its own that waits for somebody, and returns its id.
func (w *world) open(state notifier.State, reason string) string {
	w.t.Helper()
	return w.text(parkedText{reservation: w.reservation("soon", 1), state: state, reason: reason})
}

// event parks a record as the intake does, and returns its id.
func (w *world) event(topic string, headers map[string]string, body []byte, reason string) string {
	w.t.Helper()
	w.n++
	h, err := json.Marshal(headers)
	if err != nil {
		w.t.Fatal(err)
	}
	var b [32]byte
	for i := range b {
		b[i] = byte(rand.N(256))
	}
	id := hex.EncodeToString(b[:])
	w.exec(`INSERT INTO parked_event (id, topic, topic_partition, topic_offset, headers, body, reason, parked_at)
		VALUES (?, ?, 0, ?, ?, ?, ?, ?)`, id, topic, w.n, string(h), body, reason, sqldb.At(parkedNow.Add(-time.Hour)))
	return id
}

// record is an event as it stands in Kafka.
func (w *world) record(e event.Event) (map[string]string, []byte) {
	w.t.Helper()
	hs, body, err := event.Encode(e)
	if err != nil {
		w.t.Fatal(err)
	}
	headers := map[string]string{}
	for _, h := range hs {
		headers[h.Key] = string(h.Value)
	}
	return headers, body
}

// booked is the event of a reservation of its own.
func (w *world) booked(to ...event.Recipient) event.Event {
	w.t.Helper()
	if len(to) == 0 {
		to = []event.Recipient{event.Resident}
	}
	return event.Event{ID: uuid.Must(uuid.NewV7()).String(), Type: event.Booked, ReservationID: w.reservation("soon", 1), Version: 1,
		Recipients: to, Time: parkedNow}
}

// readable parks an event that this program understands, under the reason of one that did not.
func (w *world) readable() (id string, e event.Event) {
	w.t.Helper()
	e = w.booked()
	headers, body := w.record(e)
	return w.event(event.Topic, headers, body, "event of an unknown version: ansim.reservation.booked.v1"), e
}

func (w *world) append(es ...event.Event) {
	w.t.Helper()
	if err := w.db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error {
		return outbox.Append(ctx, tx, es)
	}); err != nil {
		w.t.Fatal(err)
	}
}

// parked is what the tests ask, wired to this world.
func (w *world) parked() *notifier.Parked {
	return &notifier.Parked{DB: w.db, Directory: worldDirectory, Resend: w.resend,
		Permanent: func(reason string) bool { return reason == "error-21211" || reason == notifier.ReasonOptedOut },
		Explain:   func(reason string) (ko, en string) { return "왜 " + reason, "why " + reason }}
}

// worldDirectory reads reservations as booking does, without what it does not need.
func worldDirectory(ctx context.Context, tx *sqldb.Tx, ids []string, _ bool) (map[string]notifier.Appointment, error) {
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID})
	for _, id := range ids {
		rows.Add(id)
	}
	src, args := tx.Source(rows)
	var found []struct {
		ID       string     `db:"id"`
		Version  int        `db:"version"`
		StartsAt sqldb.Time `db:"starts_at"`
	}
	if err := tx.Select(ctx, &found, "WITH "+src+` SELECT r.id, r.version, s.starts_at FROM reservation r JOIN slot s ON s.id = r.slot_id
		WHERE r.id IN (SELECT src_id FROM src)`, args...); err != nil {
		return nil, err
	}
	out := map[string]notifier.Appointment{}
	for _, r := range found {
		out[r.ID] = notifier.Appointment{ReservationID: r.ID, Version: r.Version, StartsAt: r.StartsAt.Time}
	}
	return out, nil
}

// resend does what booking's does: it locks the reservation, then looks, then takes the next number and writes the resend and
// its event in one transaction.
func (w *world) resend(ctx context.Context, r notifier.ResendRequest) error {
	if w.hook != nil {
		if err := w.hook(r); err != nil {
			return err
		}
	}
	id := uuid.Must(uuid.NewV7()).String()
	err := w.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var version, number int
		if err := tx.Get(ctx, &version, `SELECT version FROM reservation WHERE id = ?`+tx.ForUpdate(), r.ReservationID); err != nil {
			return err
		}
		if err := r.Check(ctx, tx); err != nil {
			return fmt.Errorf("look at the texts: %w", err)
		}
		if err := tx.Get(ctx, &number, `SELECT COALESCE(MAX(number), 0) + 1 FROM resend WHERE reservation_id = ? AND version = ?`,
			r.ReservationID, version); err != nil {
			return err
		}
		unknown := 0
		if r.EvenIfUnknown {
			unknown = 1
		}
		if _, err := tx.Exec(ctx, `INSERT INTO resend (event_id, reservation_id, version, number, recipients, reason, requested_by,
			while_unknown, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, id, r.ReservationID, version, number,
			string(r.Recipient), r.Reason, r.By, unknown, sqldb.At(parkedNow)); err != nil {
			return err
		}
		typ := event.Booked
		if version > 1 {
			typ = event.Changed
		}
		return outbox.Append(ctx, tx, []event.Event{{ID: id, Type: typ, ReservationID: r.ReservationID, Version: version,
			Recipients: []event.Recipient{r.Recipient}, Resend: number, Time: parkedNow}})
	})
	if err == nil && w.after != nil {
		return w.after(r)
	}
	return err
}

// resent is a row of the table resend.
type resent struct {
	Reservation string `db:"reservation_id"`
	Version     int    `db:"version"`
	Number      int    `db:"number"`
	Recipients  string `db:"recipients"`
	Reason      string `db:"reason"`
	By          string `db:"requested_by"`
	Unknown     int    `db:"while_unknown"`
}

func (w *world) resends() []resent {
	w.t.Helper()
	var all []resent
	w.read(&all, `SELECT reservation_id, version, number, recipients, reason, requested_by, while_unknown FROM resend
		ORDER BY reservation_id, version, number`)
	return all
}

func (w *world) read(into any, query string, args ...any) {
	w.t.Helper()
	if err := w.db.Read(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Select(ctx, into, query, args...)
	}); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
}

// dump is everything that a redrive could change.
func (w *world) dump() string {
	w.t.Helper()
	var b strings.Builder
	for _, q := range []string{
		`SELECT CAST(id AS text) || state || reason || CAST(updated_at AS text) FROM message ORDER BY id`,
		`SELECT id || reason FROM parked_event ORDER BY id`,
		`SELECT CAST(event_id AS text) FROM resend ORDER BY event_id`,
		`SELECT CAST(event_id AS text) FROM outbox ORDER BY id`,
		`SELECT CAST(message_id AS text) FROM message_queue ORDER BY message_id`,
	} {
		var lines []string
		w.read(&lines, q)
		fmt.Fprintf(&b, "%s\n%s\n", q, strings.Join(lines, "\n"))
	}
	return b.String()
}
