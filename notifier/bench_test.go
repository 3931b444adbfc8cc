package notifier

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"ansim/schema/event"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// patience is how long a test waits for what must come; nothing is decided by its length.
const patience = 3 * time.Minute

// scripted is a provider that answers as it is told.
type scripted struct {
	outcome Outcome
	list    []Sighting
	broken  error // what Find returns beside the list
	find    func(to personal.Phone, since time.Time) ([]Sighting, error)
	fetch   func(sid string) (Sighting, error)

	mu            sync.Mutex
	finds, fetchs int
}

func (p *scripted) Send(context.Context, Text) Outcome { return p.outcome }

func (p *scripted) Fetch(_ context.Context, sid string) (Sighting, error) {
	p.mu.Lock()
	p.fetchs++
	p.mu.Unlock()
	if p.fetch != nil {
		return p.fetch(sid)
	}
	return Sighting{}, ErrNoSuchText
}

func (p *scripted) Find(_ context.Context, to personal.Phone, since, _ time.Time) ([]Sighting, error) {
	p.mu.Lock()
	p.finds++
	p.mu.Unlock()
	if p.find != nil {
		return p.find(to, since)
	}
	return append([]Sighting(nil), p.list...), p.broken
}

// appointments are what the directory of a bench knows.
type appointments struct {
	mu   sync.Mutex
	byID map[string]Appointment
}

func (as *appointments) read(_ context.Context, _ *sqldb.Tx, ids []string, _ bool) (map[string]Appointment, error) {
	as.mu.Lock()
	defer as.mu.Unlock()
	out := map[string]Appointment{}
	for _, id := range ids {
		if a, ok := as.byID[id]; ok {
			out[id] = a
		}
	}
	return out, nil
}

func (as *appointments) change(id string, f func(*Appointment)) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.byID[id]
	f(&a)
	as.byID[id] = a
}

// bench is a sender and a reconciler whose steps a test takes one by one. It begins with one booked reservation.
type bench struct {
	clock       *dbtest.Clock
	db          *sqldb.DB
	provider    *scripted
	policy      Policy
	metrics     *Metrics
	figures     *prometheus.Registry
	sender      *sender
	look        *reconciler
	book        *appointments
	reservation string
}

func eachBench(t *testing.T, fn func(t *testing.T, b *bench)) {
	t.Helper()
	eachBenchWith(t, Policy{}, fn)
}

func eachBenchWith(t *testing.T, p Policy, fn func(t *testing.T, b *bench)) {
	t.Helper()
	dbtest.EachAt(t, noon, func(t *testing.T, db *sqldb.DB, c *dbtest.Clock) {
		b := newBench(t, db, c, p)
		b.reservation = b.booked(t, 0)
		fn(t, b)
	})
}

// newBench is one without any reservation.
func newBench(t *testing.T, db *sqldb.DB, c *dbtest.Clock, p Policy) *bench {
	t.Helper()
	b := &bench{clock: c, db: db, provider: &scripted{}, policy: p.withDefaults(), book: &appointments{byID: map[string]Appointment{}}}
	b.join(t)
	return b
}

// join makes b's sender, reconciler and recorder.
func (b *bench) join(t *testing.T) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	b.figures = prometheus.NewRegistry()
	b.metrics = NewMetrics(b.figures)
	rec := NewRecorder(b.db, b.policy, b.metrics, log)
	t.Cleanup(rec.Stop)
	b.sender = &sender{db: b.db, directory: b.book.read, render: Appointment.text, provider: b.provider, recorder: rec, policy: b.policy,
		metrics: b.metrics, log: log, wake: make(chan struct{}, 1), pace: newPacer(b.policy, b.clock.Now), meter: &meter{}}
	b.look = &reconciler{db: b.db, directory: b.book.read, provider: b.provider, recorder: rec, policy: b.policy, metrics: b.metrics,
		log: log, wake: func() {}, now: b.clock.Now}
}

// booked is a reservation whose event has come; number chooses its phone and its code.
func (b *bench) booked(t *testing.T, number int) string {
	t.Helper()
	id := uuid.Must(uuid.NewV7()).String()
	b.book.change(id, func(a *Appointment) {
		*a = Appointment{ReservationID: id, Code: fmt.Sprintf("K7Q29%05d", number), Version: 1, Status: "confirmed", Name: "홍길동",
			Phone: personal.Phone(fmt.Sprintf("+8210%08d", 12345678+number)), Language: "ko", StartsAt: noon.Add(72 * time.Hour),
			TimeZone: "Asia/Seoul", TagKo: "백신예약", SiteKo: "강남구보건소"}
	})
	b.insert(t, b.event(id, event.Booked, 1, 0))
	return id
}

// event is one of reservation id, for the resident.
func (b *bench) event(id string, typ event.Type, version, resend int) event.Event {
	return event.Event{ID: uuid.Must(uuid.NewV7()).String(), Type: typ, ReservationID: id, Version: version, Resend: resend,
		Recipients: []event.Recipient{event.Resident}, Time: b.clock.Now()}
}

func (b *bench) insert(t *testing.T, es ...event.Event) {
	t.Helper()
	b.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := insert(ctx, tx, es)
		return err
	})
}

func (b *bench) write(t *testing.T, fn func(ctx context.Context, tx *sqldb.Tx) error) {
	t.Helper()
	if err := b.db.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// begin begins what is due; it fails the test unless that gives want requests.
func (b *bench) begin(t *testing.T, want int) []request {
	t.Helper()
	got, err := b.sender.begin(t.Context(), 10)
	if err != nil || len(got.requests) != want {
		t.Fatalf("began %d requests, want %d; error %v", len(got.requests), want, err)
	}
	return got.requests
}

// fly makes a request as run does, with its slot.
func (b *bench) fly(t *testing.T, r request, began time.Time) {
	t.Helper()
	n, round := b.sender.pace.acquire(t.Context(), 1)
	if n != 1 {
		t.Fatal("no slot")
	}
	b.sender.fly(t.Context(), r, round, began)
}

func (b *bench) round(t *testing.T) {
	t.Helper()
	if _, err := b.look.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, ask := range []func(context.Context) (int, error){b.look.looks, b.look.polls} {
		if _, err := ask(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// missAll lets all looks of an unknown outcome pass.
func (b *bench) missAll(t *testing.T) {
	t.Helper()
	last := time.Duration(0)
	for _, look := range b.policy.Looks {
		b.clock.Add(look - last)
		last = look
		b.round(t)
	}
}

// state is the only message.
func (b *bench) state(t *testing.T) *Message {
	t.Helper()
	all := b.messages(t)
	if len(all) != 1 {
		t.Fatalf("there are %d messages", len(all))
	}
	return all[0]
}

// messages are all there are, in the order of their ids, with their attempts; next is their row in the queue.
func (b *bench) messages(t *testing.T) (all []*Message) {
	t.Helper()
	b.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		var ids []string
		if err := tx.Select(ctx, &ids, `SELECT id FROM message ORDER BY id`); err != nil {
			return err
		}
		ms, err := load(ctx, tx, ids)
		if err != nil {
			return err
		}
		var rows []struct {
			ID    string     `db:"message_id"`
			Job   Job        `db:"job"`
			DueAt sqldb.Time `db:"due_at"`
		}
		if err := tx.Select(ctx, &rows, `SELECT CAST(message_id AS text) AS message_id, job, due_at FROM message_queue`); err != nil {
			return err
		}
		for _, r := range rows {
			ms[r.ID].next = &plan{r.Job, r.DueAt.Time}
		}
		all = inOrder(ms)
		return nil
	})
	return all
}
