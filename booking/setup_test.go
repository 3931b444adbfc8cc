package booking_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ansim/booking"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// opening is when the programme of the tests opens, and noon an instant at which it is open.
var (
	opening = time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC) // 20:00 in Seoul
	noon    = opening.Add(16 * time.Hour)
)

// world is a database with a programme, two clients and a service.
type world struct {
	t      testing.TB
	db     *sqldb.DB
	clock  *dbtest.Clock // the database's
	ids    *booking.Identities
	svc    *booking.Service
	keys   *booking.Keys
	client booking.Client
	other  booking.Client
	began  chan struct{} // gets one for each batch that the writer takes up
	n      int
	mu     sync.Mutex
}

var secret = []byte("0123456789abcdef0123456789abcdef")

// each runs fn in a fresh world on both databases.
func each(t *testing.T, file string, fn func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	dbtest.EachAt(t, noon, func(t *testing.T, db *sqldb.DB, c *dbtest.Clock) { fn(t, newWorld(t, db, c, file)) })
}

func newWorld(t testing.TB, db *sqldb.DB, c *dbtest.Clock, file string) *world {
	t.Helper()
	ids, err := booking.OpenIdentities(t.Context(), db, secret)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, clock: c, ids: ids, keys: booking.NewKeys(db, nil), began: make(chan struct{}, 1<<16)}
	w.apply(file)
	w.client, w.other = w.newClient("clinic"), w.newClient("portal")
	w.svc = w.service()
	return w
}

func (w *world) service() *booking.Service {
	s := booking.NewService(w.db, w.ids, booking.Watched(booking.Options{Look: lookAtMessages}, func() { w.began <- struct{}{} }))
	w.t.Cleanup(s.Stop)
	return s
}

func (w *world) newClient(name string) booking.Client {
	w.t.Helper()
	key, err := booking.CreateKey(w.t.Context(), w.db, booking.KeySpec{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := w.keys.Authenticate(w.t.Context(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) apply(file string) []booking.Change {
	w.t.Helper()
	p, err := booking.ParseProgramme(strings.NewReader(file))
	if err != nil {
		w.t.Fatal(err)
	}
	changes, err := booking.ApplyProgramme(w.t.Context(), w.db, p, booking.ApplyOptions{By: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	return changes
}

// call is a call with a key that was not used before.
func (w *world) call() booking.Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	return w.callAs(w.client, fmt.Sprintf("key-%d", w.n), "body")
}

func (w *world) callAs(c booking.Client, key, body string) booking.Call {
	return booking.Call{Client: c, Key: key, Route: "POST /v1/reservations", Fingerprint: sha256.Sum256([]byte(body))}
}

func person(identity, slot string) booking.BookRequest {
	return booking.BookRequest{SlotID: slot, Identity: identity, Name: "홍길동", BirthDate: "1967-03-21",
		Phone: personal.Phone("+821012345678"), Language: "ko"}
}

func (w *world) book(identity, slot string) booking.Reservation {
	w.t.Helper()
	r, err := w.svc.Book(w.t.Context(), w.call(), person(identity, slot))
	if err != nil {
		w.t.Fatalf("book %s: %v", slot, err)
	}
	return r.Reservation
}

func (w *world) cancel(id string) booking.Reservation {
	w.t.Helper()
	r, err := w.svc.Cancel(w.t.Context(), w.call(), id, 0)
	if err != nil {
		w.t.Fatalf("cancel: %v", err)
	}
	return r.Reservation
}

// count reads one number.
func (w *world) count(query string, args ...any) int {
	w.t.Helper()
	var n int
	err := w.db.Read(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Get(ctx, &n, query, args...)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// audit checks what must hold of any database: places taken are reservations, and each change has its event.
func (w *world) audit() {
	w.t.Helper()
	if n := w.count(`SELECT COUNT(*) FROM slot s WHERE s.taken <> (SELECT COUNT(*) FROM reservation r
		WHERE r.slot_id = s.id AND r.status = 'confirmed') OR s.taken > s.capacity`); n != 0 {
		w.t.Errorf("%d slots whose taken is not the number of their confirmed reservations", n)
	}
	if n := w.count(`SELECT COUNT(*) FROM reservation r WHERE r.version <> (SELECT COUNT(*) FROM outbox o
		WHERE o.reservation_id = r.id AND o.resend = 0)`); n != 0 {
		w.t.Errorf("%d reservations without one outbox row a version", n)
	}
	if n := w.count(`SELECT COUNT(*) FROM (
			SELECT event_id, reservation_id, version, resend, recipients, created_at FROM outbox WHERE resend > 0 EXCEPT
			SELECT event_id, reservation_id, version, number, recipients, created_at FROM resend) AS unasked`); n != 0 {
		w.t.Errorf("%d events of resends that nobody asked for", n)
	}
	if n := w.count(`SELECT COUNT(*) FROM (SELECT event_id FROM resend EXCEPT SELECT event_id FROM outbox WHERE resend > 0) AS mute`); n != 0 {
		w.t.Errorf("%d resends without an event", n)
	}
	if n := w.count(`SELECT COUNT(*) FROM (SELECT reservation_id FROM resend GROUP BY reservation_id, version
		HAVING MAX(number) <> COUNT(*)) AS gaps`); n != 0 {
		w.t.Errorf("%d versions whose resends are not numbered from 1", n)
	}
	if n := w.count("SELECT COUNT(*) FROM outbox o WHERE NOT EXISTS (SELECT 1 FROM reservation r WHERE r.id = o.reservation_id)"); n != 0 {
		w.t.Errorf("%d outbox rows without a reservation", n)
	}
	if n := w.count(`SELECT COUNT(*) FROM (SELECT programme_id FROM reservation WHERE status = 'confirmed'
		GROUP BY programme_id, identity_hash HAVING COUNT(*) > 1) AS doubled`); n != 0 {
		w.t.Errorf("%d people with two active reservations", n)
	}
}

// refusal is the *Refusal of err, of that kind.
func refusal(t testing.TB, err, kind error) *booking.Refusal {
	t.Helper()
	var r *booking.Refusal
	if !errors.As(err, &r) || !errors.Is(err, kind) {
		t.Fatalf("got %v, want the refusal %q", err, kind)
	}
	return r
}

const head = `
id: covid
name: {ko: 코로나19 예방접종, en: COVID-19 vaccination}
tag: {ko: 백신예약, en: Vaccine}
time_zone: Asia/Seoul
opens_at: 2021-07-19T20:00:00+09:00
closes_at: 2021-07-24T18:00:00+09:00
`

const sites = `
sites:
  - {id: gangnam, name: {ko: 강남구보건소, en: Gangnam Health Center}}
  - {id: mapo, name: {ko: 마포구보건소, en: Mapo Health Center}}
slots:
  - {id: g1, site: gangnam, starts_at: 2021-07-26T10:30:00+09:00, capacity: 1}
  - {id: g2, site: gangnam, starts_at: 2021-07-26T10:40:00+09:00, capacity: 2}
  - {id: g3, site: gangnam, starts_at: 2021-07-26T10:20:00+09:00, capacity: 3}
  - {id: g4, site: gangnam, starts_at: 2021-07-26T15:00:00+09:00, capacity: 10}
  - {id: g5, site: gangnam, starts_at: 2021-07-27T15:00:00+09:00, capacity: 10}
  - {id: m1, site: mapo, starts_at: 2021-07-26T10:30:00+09:00, capacity: 10}
  - {id: m2, site: mapo, starts_at: 2021-07-26T11:30:00+09:00, capacity: 10}
`

const everybody = head + sites

const ruled = head + `
rules:
  - {id: born-1967-1968, born_from: 1967-01-01, born_to: 1968-12-31}
  - {id: born-1962, born_from: 1962-01-01, born_to: 1962-12-31, closes_at: 2021-07-19T21:00:00+09:00}
  - {id: born-1970, born_from: 1970-01-01, born_to: 1970-12-31, opens_at: 2021-07-21T20:00:00+09:00, closes_at: 2021-07-22T18:00:00+09:00}
` + sites
