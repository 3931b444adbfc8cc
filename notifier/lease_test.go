package notifier

import (
	"context"
	"crypto/sha256"
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

// clock is a database's clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

// scripted is a provider that answers as it is told.
type scripted struct {
	outcome Outcome
	list    []Sighting
}

func (p *scripted) Send(context.Context, Text) Outcome { return p.outcome }

func (p *scripted) Fetch(context.Context, string) (Sighting, error) { return Sighting{}, ErrNoSuchText }

func (p *scripted) Find(context.Context, personal.Phone, time.Time) ([]Sighting, error) {
	return p.list, nil
}

// bench is a sender and a reconciler whose steps a test takes one by one.
type bench struct {
	clock    *clock
	db       *sqldb.DB
	provider *scripted
	sender   *sender
	look     *reconciler
}

func eachBench(t *testing.T, fn func(t *testing.T, b *bench)) {
	t.Helper()
	for _, d := range []string{"sqlite", "postgres"} {
		t.Run(d, func(t *testing.T) {
			t.Parallel()
			c := &clock{now: noon}
			open := dbtest.SQLite
			if d == "postgres" {
				open = dbtest.Postgres
			}
			fn(t, newBench(t, open(t, sqldb.Options{Now: c.Now}), c))
		})
	}
}

func newBench(t *testing.T, db *sqldb.DB, c *clock) *bench {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	metrics := NewMetrics(prometheus.NewRegistry())
	policy := Policy{}.withDefaults()
	rec := NewRecorder(db, policy, metrics, log)
	t.Cleanup(rec.Stop)
	reservation := uuid.Must(uuid.NewV7()).String()
	directory := func(context.Context, *sqldb.Tx, []string, bool) (map[string]Appointment, error) {
		return map[string]Appointment{reservation: {ReservationID: reservation, Code: "K7Q293TX4M", Version: 1, Status: "confirmed",
			Name: "홍길동", Phone: "+821012345678", Language: "ko", StartsAt: noon.Add(72 * time.Hour), TimeZone: "Asia/Seoul",
			TagKo: "백신예약", SiteKo: "강남구보건소"}}, nil
	}
	p := &scripted{}
	b := &bench{clock: c, db: db, provider: p,
		sender: &sender{db: db, directory: directory, provider: p, recorder: rec, policy: policy, metrics: metrics, log: log,
			wake: make(chan struct{}, 1), pace: newPacer(policy, time.Now), meter: &meter{}},
		look: &reconciler{db: db, directory: directory, provider: p, recorder: rec, policy: policy, metrics: metrics, log: log, wake: func() {}},
	}
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := insert(ctx, tx, []event.Event{{ID: uuid.Must(uuid.NewV7()).String(), Type: event.Booked, ReservationID: reservation,
			Version: 1, Recipients: []event.Recipient{event.Resident}, Time: noon}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
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
	if b.sender.pace.acquire(t.Context(), 1) != 1 {
		t.Fatal("no slot")
	}
	b.sender.fly(t.Context(), r, began)
}

func (b *bench) round(t *testing.T) {
	t.Helper()
	if _, err := b.look.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.look.round(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// missAll lets all looks of an unknown outcome pass.
func (b *bench) missAll(t *testing.T) {
	t.Helper()
	for _, look := range b.look.policy.Looks {
		b.clock.add(look)
		b.round(t)
	}
}

func (b *bench) state(t *testing.T) *Message {
	t.Helper()
	var m *Message
	err := b.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		var id string
		if err := tx.Get(ctx, &id, `SELECT id FROM message`); err != nil {
			return err
		}
		ms, err := load(ctx, tx, []string{id})
		m = ms[id]
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAnAttemptWhoseProcessDiedIsLookedUpNotRepeated: the attempt is committed, the process is gone; whether the request was
// written, nobody knows.
func TestAnAttemptWhoseProcessDiedIsLookedUpNotRepeated(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		r := b.begin(t, 1)[0]
		b.round(t)
		if m := b.state(t); m.State != Sending {
			t.Fatalf("before the lease ends: %s", m.State)
		}
		b.clock.add(time.Minute + time.Second)
		b.round(t)
		if m := b.state(t); m.State != StateUnknown || m.log[0].State != AttemptUnknown {
			t.Fatalf("after the lease: %s, attempt %s", m.State, m.log[0].State)
		}
		b.begin(t, 0) // an unknown text is not sent
		b.provider.list = []Sighting{{SID: "SM1", Body: r.text.Body, Status: "delivered", Created: noon}}
		b.clock.add(5 * time.Second)
		b.round(t)
		if m := b.state(t); m.State != StateDelivered || m.Attempts != 1 {
			t.Errorf("the list shows it: %s after %d attempts", m.State, m.Attempts)
		}
	})
}

// TestAResumedProcessBringsEvidenceLate: it was frozen past its lease, between the commit of its attempt and its request.
func TestAResumedProcessBringsEvidenceLate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    Outcome
		want State
	}{
		"a late 201":                  {Outcome{Class: Accepted, SID: "SM1"}, StateAccepted},
		"it had not written":          {Outcome{Class: NotSent, Detail: "too-late"}, Pending},
		"it does not know either":     {Outcome{Class: Unknown, Detail: "timeout"}, StateUnknown},
		"it was rejected for ever":    {Outcome{Class: Rejected, Disposition: Permanent, Code: 21211}, StateFailed},
		"it was throttled, not taken": {Outcome{Class: NotSent, Throttled: true}, Pending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachBench(t, func(t *testing.T, b *bench) {
				r := b.begin(t, 1)[0]
				b.clock.add(time.Minute + time.Second)
				b.round(t)
				b.sender.record(t.Context(), r, c.o)
				if m := b.state(t); m.State != c.want {
					t.Errorf("got %s, want %s", m.State, c.want)
				}
			})
		})
	}
}

// TestAProcessThatIsTooLateDoesNotWrite: its own clock says that the deadline has passed.
func TestAProcessThatIsTooLateDoesNotWrite(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		r := b.begin(t, 1)[0]
		b.provider.outcome = Outcome{Class: Accepted, SID: "SM1"}
		b.fly(t, r, time.Now().Add(-b.sender.policy.Deadline))
		if m := b.state(t); m.State != Pending || m.log[0].State != AttemptNotSent || m.log[0].Detail != "too-late" {
			t.Errorf("got %s, attempt %+v", m.State, m.log[0])
		}
	})
}

// TestAnOlderCopyDoesNotProveANewerAttempt: the list shows one text; it is the first attempt's, and the second stays unknown.
func TestAnOlderCopyDoesNotProveANewerAttempt(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		first := b.begin(t, 1)[0]
		b.sender.record(t.Context(), first, Outcome{Class: Unknown})
		b.missAll(t)
		second := b.begin(t, 1)[0]
		if sha256.Sum256([]byte(first.text.Body)) != sha256.Sum256([]byte(second.text.Body)) {
			t.Fatal("the second attempt says something else")
		}
		b.sender.record(t.Context(), second, Outcome{Class: Unknown})
		b.provider.list = []Sighting{{SID: "SM1", Body: first.text.Body, Status: "sent", Created: noon}}
		b.clock.add(5 * time.Second)
		b.round(t)
		m := b.state(t)
		if m.log[0].State != AttemptSent || m.log[1].State != AttemptUnknown || m.State != StateSent {
			t.Errorf("message %s, attempts %s and %s; want the first sent, the second unknown", m.State, m.log[0].State, m.log[1].State)
		}
	})
}

func TestAReceiptForAnotherAttemptsTextIsRefused(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		r := b.begin(t, 1)[0]
		b.sender.record(t.Context(), r, Outcome{Class: Accepted, SID: "SM1"})
		for _, c := range []struct {
			rc   Receipt
			want error
		}{
			{Receipt{Token: newToken(), SID: "SM1", Status: "delivered"}, ErrUnknownAttempt},
			{Receipt{Token: r.text.Token, SID: "SM2", Status: "delivered"}, ErrForeign},
		} {
			if err := b.sender.recorder.Receive(t.Context(), c.rc); err != c.want {
				t.Errorf("got %v, want %v", err, c.want)
			}
		}
		if m := b.state(t); m.State != StateAccepted {
			t.Errorf("state %s", m.State)
		}
	})
}
