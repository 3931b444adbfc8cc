package notifier

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"ansim/schema/event"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

// TestTurnsAreFairAndStarveNobody: while all classes have work each gets its share, and each gets something within one round
// of fifteen; a class alone gets everything, oldest first.
func TestTurnsAreFairAndStarveNobody(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var queues [len(weights)][]*Message
		total, sum := 0, 0
		for c := range queues {
			sum += weights[c]
			for i := range rapid.IntRange(0, 40).Draw(t, "waiting") {
				queues[c] = append(queues[c], &Message{Version: c, Attempts: i})
				total++
			}
		}
		var turns turns
		var got [len(weights)]int
		since := [len(weights)]int{}
		for range total {
			waiting := queues
			m := turns.next(&queues)
			if m == nil {
				t.Fatal("something waits, and nothing is taken")
			}
			if m.Attempts != got[m.Version] {
				t.Fatalf("class %d: number %d after %d", m.Version, m.Attempts, got[m.Version])
			}
			got[m.Version]++
			for c := range queues {
				if since[c]++; c == m.Version || len(waiting[c]) == 0 {
					since[c] = 0
				}
				if since[c] > 2*sum { // one round more when a class that ran empty gives up its place
					t.Fatalf("class %d has waited %d turns", c, since[c])
				}
			}
		}
		if turns.next(&queues) != nil {
			t.Fatal("something is taken from nothing")
		}
	})
	var queues [len(weights)][]*Message
	for c := range queues {
		for range 1500 {
			queues[c] = append(queues[c], &Message{Version: c})
		}
	}
	var turns turns
	var got [len(weights)]int
	for range 1500 {
		got[turns.next(&queues).Version]++
	}
	if want := [len(weights)]int{800, 400, 200, 100}; got != want {
		t.Errorf("of 1,500 turns the classes got %v, want %v", got, want)
	}
}

// TestOneBudgetForAll: two users of a bucket together get its rate, whatever the clock does.
func TestOneBudgetForAll(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		budget := bucket{"test", 10, 10}
		use := func() (used float64) {
			b.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				filled, err := budget.lock(ctx, tx)
				if err != nil {
					return err
				}
				now, err := tx.Now(ctx)
				if err != nil {
					return err
				}
				tokens := filled.at(now)
				used = math.Floor(max(0, tokens))
				return filled.leave(ctx, tx, tokens-used, now)
			})
			return used
		}
		if first, second := use(), use(); first != 10 || second != 0 {
			t.Fatalf("at first %v and %v, want the burst of 10 once", first, second)
		}
		total := 0.0
		for range 40 {
			b.clock.Add(250 * time.Millisecond)
			total += use() + use()
		}
		if total < 99 || total > 100 {
			t.Errorf("in ten seconds %v, want 100", total)
		}
		b.clock.Add(-10 * time.Minute) // the clock is set back: it goes on from there
		use()
		b.clock.Add(time.Second)
		if got := use(); got < 9 || got > 10 {
			t.Errorf("a second after the clock was set back: %v, want 10", got)
		}
		b.clock.Add(24 * time.Hour)
		if got := use(); got != 10 {
			t.Errorf("after a day: %v, want no more than the burst", got)
		}
	})
}

// TestAStormOfUnknownsKeepsTheBudget: thousands of answers are lost at once. The provider is asked no more often than the
// budget allows, every text is found, and new ones are sent meanwhile.
func TestAStormOfUnknownsKeepsTheBudget(t *testing.T) {
	t.Parallel()
	eachBenchWith(t, Policy{Slots: 500}, func(t *testing.T, b *bench) {
		storm := 5000
		if b.db.Dialect() == sqldb.SQLite { // written in Go, and under the race detector, it takes its time
			storm = 1000
		}
		var events []event.Event
		for i := range storm - 1 {
			id := uuid.Must(uuid.NewV7()).String()
			b.book.change(id, func(a *Appointment) {
				*a = b.book.byID[b.reservation]
				a.ReservationID, a.Phone = id, personal.Phone("+821"+uuid.NewString())
			})
			if events = append(events, b.event(id, event.Booked, 1, 0)); len(events) == 500 || i == storm-2 {
				b.insert(t, events...)
				events = nil
			}
		}
		taken := map[string]Text{}
		for {
			got, err := b.sender.begin(t.Context(), 500)
			if err != nil {
				t.Fatal(err)
			}
			if got.picked == 0 {
				break
			}
			for _, r := range got.requests {
				taken[r.text.To.Reveal()] = r.text
			}
		}
		if len(taken) != storm {
			t.Fatalf("%d requests", len(taken))
		}
		b.clock.Add(b.policy.Lease + time.Second)
		for n, err := b.look.expire(t.Context()); n > 0 || err != nil; n, err = b.look.expire(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
		}
		b.provider.find = func(to personal.Phone, _ time.Time) ([]Sighting, error) {
			return []Sighting{{SID: "SM" + to.Reveal(), Body: taken[to.Reveal()].Body, Status: "sent", Created: noon}}, nil
		}
		b.clock.Add(b.policy.Looks[0])
		began := b.clock.Now()
		for seconds := 0; ; seconds++ {
			before := b.provider.finds
			for n := 1; n > 0; {
				var err error
				if n, err = b.look.looks(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if asked := b.provider.finds - before; float64(asked) > b.policy.LooksPerSecond+1 {
				t.Fatalf("second %d: %d questions", seconds, asked)
			}
			if seconds == 5 { // in the middle of it somebody books
				b.booked(t, 1)
				b.begin(t, 1)
			}
			w, err := Waiting(t.Context(), b.db)
			if err != nil {
				t.Fatal(err)
			}
			if w.Unknown == 0 {
				break
			}
			if b.clock.Now().Sub(began) > 30*time.Minute {
				t.Fatalf("after half an hour %d are unknown", w.Unknown)
			}
			b.clock.Add(time.Second)
		}
		if b.provider.finds > storm {
			t.Errorf("%d questions for %d texts", b.provider.finds, storm)
		}
	})
}

// TestTheBudgetGoesByWhenAttemptsBegin: a transaction that waits before its attempts begin does not give the next one what came in
// meanwhile as well.
func TestTheBudgetGoesByWhenAttemptsBegin(t *testing.T) {
	t.Parallel()
	eachBenchWith(t, Policy{SegmentsPerSecond: 3}, func(t *testing.T, b *bench) {
		for n := range 7 {
			b.booked(t, n+1)
		}
		b.sender.directory = func(ctx context.Context, tx *sqldb.Tx, ids []string, lock bool) (map[string]Appointment, error) {
			b.clock.Add(900 * time.Millisecond)
			return b.book.read(ctx, tx, ids, lock)
		}
		b.begin(t, 3) // 0.9 s after its transaction began
		b.begin(t, 0)
		b.clock.Add(300 * time.Millisecond)
		b.begin(t, 3)
	})
}

// TestAnEmptyBudgetFillsAfterTheClockWasSetBack: also when those who ask for it find nothing, and take nothing.
func TestAnEmptyBudgetFillsAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	eachBenchWith(t, Policy{SegmentsPerSecond: 3}, func(t *testing.T, b *bench) {
		for n := range 7 {
			b.booked(t, n+1)
		}
		b.clock.Add(20 * time.Minute)
		b.begin(t, 3)
		b.clock.Add(-10 * time.Minute)
		b.begin(t, 0)
		b.clock.Add(1100 * time.Millisecond)
		b.begin(t, 3)
	})
}

// TestSeldom: after a round that found nothing nine are left out, and none after one that found something or failed.
func TestSeldom(t *testing.T) {
	t.Parallel()
	asked, found, failed := 0, 0, error(nil)
	round := seldom(func(context.Context) (int, error) { asked++; return found, failed })
	for i, step := range []struct {
		found  int
		failed error
		rounds int
		asked  int
	}{{0, nil, 10, 1}, {5, nil, 3, 3}, {0, sqldb.ErrStopped, 2, 2}, {0, nil, 21, 3}} {
		asked, found, failed = 0, step.found, step.failed
		for range step.rounds {
			_, _ = round(t.Context())
		}
		if asked != step.asked {
			t.Errorf("step %d: asked %d times in %d rounds, want %d", i, asked, step.rounds, step.asked)
		}
	}
}
