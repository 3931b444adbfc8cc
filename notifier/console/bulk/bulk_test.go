package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/console/trail"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
	"ansim/test/leaks"
)

// TestMain fails when something still runs after all that the tests started was stopped, but for the database's own process, which
// ends with this one.
func TestMain(m *testing.M) {
	leaks.Main(m, goleak.IgnoreAnyFunction("ansim/test/dbtest.(*Server).Start.func1"))
}

const file = `
id: covid
name: {ko: 코로나19 예방접종, en: COVID-19 vaccination}
tag: {ko: 백신예약, en: Vaccine}
time_zone: Asia/Seoul
opens_at: 2021-07-19T20:00:00+09:00
closes_at: 2021-07-24T18:00:00+09:00
sites: [{id: gangnam, name: {ko: 강남구보건소, en: Gangnam Health Center}}]
slots: [{id: g1, site: gangnam, starts_at: 2021-07-26T10:30:00+09:00, capacity: 50}]
`

// world is a database with reservations and texts, and what runs are set off with.
type world struct {
	t       *testing.T
	db      *sqldb.DB
	service *booking.Service
	client  booking.Client
	desk    *Desk

	mu   sync.Mutex
	at   time.Time
	item func(n int) // called before the n-th request for texts is committed, from 1
	n    int
}

func (w *world) now() time.Time        { w.mu.Lock(); defer w.mu.Unlock(); return w.at }
func (w *world) later(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.at = w.at.Add(d) }

// on is what happens at each item from now on.
func (w *world) on(do func(n int)) { w.mu.Lock(); defer w.mu.Unlock(); w.item, w.n = do, 0 }

func (w *world) step() {
	w.mu.Lock()
	w.n++
	do, n := w.item, w.n
	w.mu.Unlock()
	if do != nil {
		do(n)
	}
}

func (w *world) look(ctx context.Context, tx *sqldb.Tx, ids []string) (map[string]map[event.Recipient]booking.NewestText, error) {
	found, err := notifier.Looking(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	out := map[string]map[event.Recipient]booking.NewestText{}
	for id, texts := range found {
		out[id] = map[event.Recipient]booking.NewestText{}
		for to, n := range texts {
			out[id][to] = booking.NewestText{Version: n.Version, Resend: n.Resend, State: string(n.State)}
		}
	}
	return out, nil
}

// stepping is look, with what the test does at each item; a preview does not go through it.
func (w *world) stepping(ctx context.Context, tx *sqldb.Tx, ids []string) (map[string]map[event.Recipient]booking.NewestText, error) {
	if len(ids) == 1 {
		w.step()
	}
	return w.look(ctx, tx, ids)
}

func (w *world) resend(ctx context.Context, r notifier.ResendRequest) error {
	_, err := booking.Resend(ctx, w.db, func(ctx context.Context, tx *sqldb.Tx, ids []string) (map[string]map[event.Recipient]booking.NewestText, error) {
		w.step()
		if err := r.Check(ctx, tx); err != nil {
			return nil, err
		}
		return w.look(ctx, tx, ids)
	}, booking.ResendOrder{ReservationID: r.ReservationID, Recipients: []event.Recipient{r.Recipient}, Reason: r.Reason, By: r.By,
		EvenIfUnknown: r.EvenIfUnknown, NoCoolDown: true})
	var refused *booking.Refusal
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: %w", notifier.ErrResendRefused, err)
	}
	return err
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	dbtest.EachOpen(t, func(t *testing.T, open dbtest.Open) {
		w := &world{t: t, at: time.Date(2021, 7, 20, 3, 0, 0, 0, time.UTC)}
		w.db = open(t, sqldb.Options{Now: w.now})
		w.begin()
		fn(t, w)
	})
}

func (w *world) begin() {
	t, ctx := w.t, w.t.Context()
	ids, err := booking.OpenIdentities(ctx, w.db, []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := booking.ParseProgramme(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := booking.ApplyProgramme(ctx, w.db, p, booking.ApplyOptions{By: "test"}); err != nil {
		t.Fatal(err)
	}
	key, err := booking.CreateKey(ctx, w.db, booking.KeySpec{Name: "clinic"})
	if err != nil {
		t.Fatal(err)
	}
	keys := booking.NewKeys(w.db, nil)
	t.Cleanup(keys.Stop)
	if w.client, err = keys.Authenticate(ctx, key); err != nil {
		t.Fatal(err)
	}
	w.service = booking.NewService(w.db, ids, booking.Options{Look: w.look, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(w.service.Stop)
	directory := func(ctx context.Context, tx *sqldb.Tx, ids []string, lock bool) (map[string]notifier.Appointment, error) {
		found, err := booking.Appointments(ctx, tx, ids, lock)
		out := map[string]notifier.Appointment{}
		for id, a := range found {
			out[id] = notifier.Appointment(a)
		}
		return out, err
	}
	w.desk = &Desk{DB: w.db, Look: w.stepping, Parked: &notifier.Parked{DB: w.db, Directory: directory, Resend: w.resend}}
}

// texts books n people, whose texts stand so.
func (w *world) texts(n int, state notifier.State, reason string) (ids []string) {
	w.t.Helper()
	for range n {
		who := uuid.NewString()
		reply, err := w.service.Book(w.t.Context(), booking.Call{Client: w.client, Key: who, Route: "test"},
			booking.BookRequest{SlotID: "g1", Identity: who, Name: "홍길동", BirthDate: "1967-05-05", Phone: "+821012345678", Language: "ko"})
		if err != nil {
			w.t.Fatal(err)
		}
		id, at := uuid.Must(uuid.NewV7()).String(), sqldb.At(w.now())
		ids = append(ids, reply.Reservation.ID)
		if err := w.db.Write(w.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, state, reason, event_at, created_at, updated_at)
				VALUES (?, ?, ?, 1, 'confirmation', 'resident', ?, ?, ?, ?, ?)`, id, uuid.NewString(), reply.Reservation.ID, string(state), reason, at, at, at); err != nil {
				return err
			}
			if state != notifier.StateFailed && state != notifier.StateHeld {
				return nil
			}
			_, err := tx.Exec(ctx, `INSERT INTO message_queue (message_id, job, priority, due_at, since) VALUES (?, 'person', 0, ?, ?)`, id, at, at)
			return err
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	return ids
}

// resends is how often the texts of each reservation were asked for again, and fails the test when any was more than once.
func (w *world) resends() (n int64) {
	w.t.Helper()
	var rows []struct {
		ID string `db:"reservation_id"`
		N  int64  `db:"n"`
	}
	if err := w.db.Read(w.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		rows = nil
		return tx.Select(ctx, &rows, `SELECT reservation_id, COUNT(*) AS n FROM resend GROUP BY reservation_id`)
	}); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range rows {
		if n += r.N; r.N != 1 {
			w.t.Errorf("%s was asked for %d times", r.ID, r.N)
		}
	}
	return n
}

func (w *world) start(o Order) string {
	w.t.Helper()
	p, err := w.desk.Preview(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	id := uuid.NewString()
	for range 2 { // a form that is sent twice is one run
		if err := w.desk.Start(w.t.Context(), id, "staff:lee", o, p.Total); err != nil {
			w.t.Fatal(err)
		}
	}
	return id
}

func (w *world) worker() *Worker { return NewWorker(w.desk, slog.New(slog.DiscardHandler)) }

// work is one worker's turn.
func (w *world) work() bool {
	w.t.Helper()
	found, err := w.worker().Once(w.t.Context())
	if err != nil {
		w.t.Error(err)
	}
	return found
}

// dies is a worker's turn that ends in the middle of an item, without a word.
func (w *world) dies() {
	w.t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, err := w.worker().Once(w.t.Context())
		w.t.Errorf("it did not die: %v", err)
	}()
	<-ended
}

func (w *world) stands(id string, state State, done, passed int64) Run {
	w.t.Helper()
	r, err := w.desk.Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.State != state || r.Done != done || r.Passed != passed {
		w.t.Errorf("%s, %d done, %d passed by; want %s, %d, %d", r.State, r.Done, r.Passed, state, done, passed)
	}
	return r
}

const lost = notifier.ReasonAnswerLost

func TestCause(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.texts(7, notifier.StateFailed, "error-30003")
		w.texts(2, notifier.StateHeld, lost)
		w.texts(3, notifier.StateDelivered, "")
		o := Order{About: Cause, Kind: notifier.ParkedTexts, Target: "error-30003", Reason: "the carrier is back"}
		p, err := w.desk.Preview(t.Context(), o)
		if err != nil || p.Total != 7 || p.Would != 7 || p.Risky != 0 || len(p.Samples) != 7 {
			t.Errorf("%+v, %v", p, err)
		}
		id := w.start(o)
		if n := w.resends(); n != 0 {
			t.Errorf("%d texts were asked for by a preview", n)
		}
		if !w.work() || w.work() {
			t.Error("there is not just one run")
		}
		r := w.stands(id, Done, 7, 0)
		if r.By != "staff:lee" || r.Reason != "the carrier is back" || r.Left() != 0 || w.resends() != 7 {
			t.Errorf("%+v, %d resends", r, w.resends())
		}
		if _, err := w.desk.Preview(t.Context(), Order{About: Item, Target: uuid.NewString()}); !errors.Is(err, ErrNothing) {
			t.Errorf("of nothing: %v", err)
		}
		if _, err := w.desk.Preview(t.Context(), o); !errors.Is(err, ErrNothing) {
			t.Errorf("of what was redriven: %v", err)
		}
		all := Order{About: All, Reason: "x"}
		if p, err := w.desk.Preview(t.Context(), all); err != nil || p.Total != 2 || p.Would != 0 || p.Risky != 2 {
			t.Errorf("%+v, %v", p, err)
		}
		without := w.start(all)
		w.work()
		if r := w.stands(without, Done, 0, 2); r.Outcomes[notifier.SkippedMayHaveArrived] != 2 {
			t.Errorf("%+v", r)
		}
		all.AcceptDuplicates = true
		with := w.start(all)
		w.work()
		w.stands(with, Done, 2, 0)
		if w.resends() != 9 {
			t.Errorf("%d resends", w.resends())
		}
		if list, err := w.desk.List(t.Context(), 2); err != nil || len(list) != 2 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestSlot(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.texts(4, notifier.StateDelivered, "")
		w.texts(2, notifier.Pending, "")
		w.texts(1, notifier.StateUnknown, "")
		off := w.texts(1, notifier.StateDelivered, "")[0]
		if _, err := w.service.Cancel(t.Context(), booking.Call{Client: w.client, Key: "c", Route: "test"}, off, 0); err != nil {
			t.Fatal(err)
		}
		w.later(2 * time.Minute)
		o := Order{About: Slot, Target: "g1", Reason: "another entrance"}
		p, err := w.desk.Preview(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Plan{Total: 7, Would: 4, Risky: 1, Not: map[string]int64{OutcomePending: 2}}, p); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		id := w.start(o)
		w.work()
		r := w.stands(id, Done, 4, 3)
		if diff := cmp.Diff(map[string]int64{OutcomePending: 2, notifier.SkippedMayHaveArrived: 1}, r.Outcomes); diff != "" || w.resends() != 4 {
			t.Errorf("%d resends, (-want +got)\n%s", w.resends(), diff)
		}
		o.AcceptDuplicates = true
		id = w.start(o)
		w.work()
		r = w.stands(id, Done, 1, 6)
		if diff := cmp.Diff(map[string]int64{OutcomePending: 2, OutcomeCoolDown: 4}, r.Outcomes); diff != "" || w.resends() != 5 {
			t.Errorf("%d resends, (-want +got)\n%s", w.resends(), diff)
		}
		if _, err := w.desk.Preview(t.Context(), Order{About: Slot, Target: "none"}); !errors.Is(err, ErrNothing) {
			t.Errorf("of no slot: %v", err)
		}
	})
}

// orders are of both kinds of work, each of six texts.
var orders = []Order{{About: Cause, Target: "error-30003", Reason: "x"}, {About: Slot, Target: "g1", Reason: "x"}}

// A worker that dies at any item, and one that goes on after it: each text is asked for once, and counted once.
func TestDeath(t *testing.T) {
	for _, o := range orders {
		t.Run(string(o.About), func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.texts(6, notifier.StateFailed, "error-30003")
				w.later(2 * time.Minute)
				id := w.start(o)
				for at := 1; at <= 3; at++ { // three deaths, at the first item of the first, at the second of the second, and so on
					w.on(func(n int) {
						if n == at {
							runtime.Goexit()
						}
					})
					w.dies()
					w.on(nil)
					if w.work() {
						t.Error("the dead worker's lease does not hold")
					}
					w.later(lease)
				}
				w.stands(id, Running, 3, 0) // 0, 1 and 2 items before each death
				if !w.work() {
					t.Error("nobody goes on")
				}
				w.stands(id, Done, 6, 0)
				if n := w.resends(); n != 6 {
					t.Errorf("%d resends", n)
				}
			})
		})
	}
}

// A worker that stands still until its lease has ended, in the middle of an item, does nothing more when it comes back.
func TestComesBack(t *testing.T) {
	for _, o := range orders {
		t.Run(string(o.About), func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.texts(6, notifier.StateFailed, "error-30003")
				w.later(2 * time.Minute)
				id := w.start(o)
				first := w.worker()
				r, err := first.claim(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				w.later(lease)
				if !w.work() {
					t.Error("nobody takes over")
				}
				late := &job{Worker: first, Run: r}
				if err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return late.did(ctx, tx, uuid.Max.String()) }); !errors.Is(err, errNotOurs) {
					t.Errorf("what comes late is counted: %v", err)
				}
				if err := late.end(t.Context(), Failed); err != nil {
					t.Error(err)
				}
				w.stands(id, Done, 6, 0)
				w.resends()
			})
		})
	}
}

func TestPauseAndStop(t *testing.T) {
	for _, o := range orders {
		t.Run(string(o.About), func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.texts(6, notifier.StateFailed, "error-30003")
				w.later(2 * time.Minute)
				id := w.start(o)
				move := func(to State) {
					t.Helper()
					if err := w.desk.Move(t.Context(), id, "staff:lee", to); err != nil {
						t.Error(err)
					}
				}
				before := int64(0)
				if w.db.Dialect() == sqldb.Postgres && o.About == Cause {
					before = 2
					w.on(func(n int) {
						if n == 3 { // it is under way, and not counted yet
							w.on(nil)
							move(Paused)
						}
					})
				} else { // within the item's own transaction nobody else could
					move(Paused)
				}
				w.work()
				if r := w.stands(id, Paused, before, 0); w.resends() != before {
					t.Errorf("%+v: %d resends", r, w.resends())
				}
				if w.work() {
					t.Error("what is paused is worked on")
				}
				if err := w.desk.Move(t.Context(), id, "staff:kim", Paused); !errors.Is(err, ErrMoved) {
					t.Errorf("paused twice: %v", err)
				}
				move(Running)
				ctx, cancel := context.WithCancel(t.Context())
				w.on(func(n int) {
					if n == 2 { // this process is asked to end: it finishes the item, and others go on at once
						cancel()
					}
				})
				if _, err := w.worker().Once(ctx); err != nil {
					t.Error(err)
				}
				w.on(nil)
				w.stands(id, Running, before+2, 0)
				move(Stopped)
				if w.work() {
					t.Error("what is stopped is worked on")
				}
				for _, to := range []State{Running, Paused, Stopped, Done} {
					if err := w.desk.Move(t.Context(), id, "staff:lee", to); !errors.Is(err, ErrMoved) {
						t.Errorf("stopped, then %s: %v", to, err)
					}
				}
				again := w.start(Order{About: Cause, Target: "error-30003", Reason: "x"})
				w.work()
				w.stands(again, Done, 6-before-2, 0)
				if w.resends() != 6 {
					t.Errorf("%d resends", w.resends())
				}
				for _, none := range []string{uuid.NewString(), "x", ""} {
					if err := w.desk.Move(t.Context(), none, "staff:lee", Paused); !errors.Is(err, ErrNone) {
						t.Errorf("%q: %v", none, err)
					}
				}
				var did []trail.Action
				entries, err := trail.Read(t.Context(), w.db, "", 0, 100)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					did = append(did, e.Action)
				}
				if diff := cmp.Diff([]trail.Action{trail.RunBegun, trail.RunStopped, trail.RunContinued, trail.RunPaused, trail.RunBegun}, did); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// A worker that is told to finds what was set off, and one that breaks says so; going on does the rest.
func TestWork(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.texts(3, notifier.StateFailed, "error-30003")
		broken := true
		resend := w.desk.Parked.Resend
		w.desk.Parked.Resend = func(ctx context.Context, r notifier.ResendRequest) error {
			if broken {
				return errors.New("no")
			}
			return resend(ctx, r)
		}
		id := w.start(Order{About: Cause, Target: "error-30003", Reason: "x"})
		if found, err := w.worker().Once(t.Context()); !found || err == nil {
			t.Errorf("%t, %v", found, err)
		}
		w.stands(id, Failed, 0, 0)
		broken = false
		ctx, cancel := context.WithCancel(t.Context())
		worker, ended, last := w.worker(), make(chan struct{}), make(chan struct{})
		w.on(func(n int) {
			if n == 3 {
				close(last)
			}
		})
		go func() { defer close(ended); worker.Work(ctx) }()
		if err := w.desk.Move(t.Context(), id, "staff:lee", Running); err != nil {
			t.Error(err)
		}
		worker.Wake()
		<-last
		cancel()
		<-ended
		if r, err := w.desk.Get(t.Context(), id); err != nil || r.Done != 3 || w.resends() != 3 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
