package notifier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"ansim/notifier"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// redrive runs an order that must not end in an error.
func (w *world) redrive(p *notifier.Parked, o notifier.RedriveOrder) notifier.RedriveReport {
	w.t.Helper()
	o.By = "redrive:tester"
	r, err := p.Redrive(context.Background(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// count is what a report says without its examples.
type count struct {
	Cause   string
	Outcome notifier.RedriveOutcome
	Why     string
	Count   int64
}

func counts(r notifier.RedriveReport) []count {
	var out []count
	for _, g := range r.Groups {
		out = append(out, count{g.Cause, g.Outcome, g.Why, g.Count})
	}
	return out
}

// A text is redriven as a resend with a number of its own, recorded with its cause and with who asked.
func TestRedriveIsAResend(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		first := w.reservation("soon", 3)
		w.text(parkedText{reservation: first, version: 3, kind: notifier.Change, reason: "error-30007"})
		w.text(parkedText{reservation: first, version: 3, kind: notifier.Change, recipient: event.Booker, state: notifier.StateHeld,
			reason: notifier.ReasonAnswerLost})
		second := w.reservation("soon", 1)
		w.text(parkedText{reservation: second, reason: "error-30007"})
		w.exec(`INSERT INTO resend (event_id, reservation_id, version, number, recipients, reason, requested_by, while_unknown,
			created_at) VALUES (?, ?, 1, 4, 'resident', 'asked', 'cli:a', 0, ?)`, uuid.NewString(), second, sqldb.At(parkedNow))
		w.text(parkedText{reservation: second, resend: 4, reason: "error-30007"})

		r := w.redrive(w.parked(), notifier.RedriveOrder{All: true, AcceptDuplicates: true})
		want := []resent{
			{first, 3, 1, "resident", "redrive: error-30007", "redrive:tester", 0},
			{first, 3, 2, "booker", "redrive: answer-lost", "redrive:tester", 1},
			{second, 1, 4, "resident", "asked", "cli:a", 0},
			{second, 1, 5, "resident", "redrive: error-30007", "redrive:tester", 0},
		}
		if d := cmp.Diff(want, w.resends()); d != "" {
			t.Errorf("resends (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]count{{"error-30007", notifier.Redriven, "", 2}, {"answer-lost", notifier.Redriven, "", 1}}, counts(r)); d != "" {
			t.Errorf("report (-want +got):\n%s", d)
		}
		// Nothing is parked any more, though the intake has not even seen the events; so a repeat does nothing.
		if list, err := w.parked().List(t.Context(), notifier.Selection{}); err != nil || len(list) != 0 {
			t.Errorf("listed after the redrive: %+v, %v", list, err)
		}
		if r := w.redrive(w.parked(), notifier.RedriveOrder{All: true, AcceptDuplicates: true}); r.RedriveCounts != (notifier.RedriveCounts{}) {
			t.Errorf("the repeat did something: %+v", r)
		}
	})
}

// Which texts a redrive takes, by what it names and allows.
func TestRedriveSelects(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		w.open(notifier.StateFailed, "error-30007")
		bad := w.open(notifier.StateFailed, "error-21211")
		w.open(notifier.StateFailed, notifier.ReasonOptedOut)
		lost := w.open(notifier.StateHeld, notifier.ReasonAnswerLost)
		w.open(notifier.StateHeld, notifier.ReasonLookupFailed)
		w.open(notifier.StateHeld, notifier.ReasonCannotRender)
		unproven := w.text(parkedText{reservation: w.reservation("soon", 1), reason: "error-30008",
			attempts: []notifier.AttemptState{notifier.AttemptRejected, notifier.AttemptOpen}})
		w.text(parkedText{reservation: w.reservation("soon", 2), reason: "old"})
		past := w.text(parkedText{reservation: w.reservation("past", 1), reason: "late"})
		w.text(parkedText{reservation: uuid.NewString(), state: notifier.StateHeld, reason: notifier.ReasonNoReservation})
		sent := w.reservation("soon", 1)
		again := w.text(parkedText{reservation: sent, reason: "error-30003"})
		w.text(parkedText{reservation: sent, resend: 1, state: notifier.StateDelivered})
		ev, _ := w.readable()
		const evCause = "event of an unknown version: ansim.reservation.booked.v1"
		redriven, skipped := notifier.Redriven, notifier.Skipped
		maybe, perm := notifier.SkippedMayHaveArrived, notifier.SkippedPermanent
		needNobody := []count{{"late", skipped, "past", 1}, {"no-reservation", skipped, "no-reservation", 1}, {"old", skipped, "superseded", 1}}
		all := func(lost, failed string) []count {
			c := func(cause, why string) count {
				if why == "" {
					return count{cause, redriven, "", 1}
				}
				return count{cause, skipped, why, 1}
			}
			return []count{c("answer-lost", lost), c("cannot-render", ""), c("error-21211", failed), c("error-30007", ""),
				c("error-30008", lost), needNobody[0], c("lookup-failed", lost), needNobody[1], needNobody[2], c("opted-out", failed)}
		}
		events := []count{{evCause, redriven, "", 1}}
		type order = notifier.RedriveOrder
		sel := func(s notifier.Selection) order { return order{Select: s} }
		for _, c := range []struct {
			name string
			o    order
			want []count
		}{
			{"all", order{All: true}, append(slices.Clone(events), all(maybe, perm)...)},
			{"all texts", order{All: true, Select: notifier.Selection{Kind: notifier.ParkedTexts}}, all(maybe, perm)},
			{"all events", order{All: true, Select: notifier.Selection{Kind: notifier.ParkedEvents}}, events},
			{"all, duplicates accepted", order{All: true, AcceptDuplicates: true}, append(slices.Clone(events), all("", perm)...)},
			{"all, even permanent", order{All: true, EvenPermanent: true}, append(slices.Clone(events), all(maybe, "")...)},
			{"a cause", sel(notifier.Selection{Cause: "error-30007"}), []count{{"error-30007", redriven, "", 1}}},
			{"a permanent cause", sel(notifier.Selection{Cause: "opted-out"}), []count{{"opted-out", redriven, "", 1}}},
			{"a cause of events", sel(notifier.Selection{Cause: evCause}), events},
			{"a lost answer", sel(notifier.Selection{Cause: "answer-lost"}), []count{{"answer-lost", skipped, maybe, 1}}},
			{"a lost answer, accepted", order{Select: notifier.Selection{Cause: "answer-lost"}, AcceptDuplicates: true}, []count{{"answer-lost", redriven, "", 1}}},
			{"no such cause", sel(notifier.Selection{Cause: "error-1"}), nil},
			{"the id of a permanent one", sel(notifier.Selection{ID: bad}), []count{{"error-21211", redriven, "", 1}}},
			{"the id of a lost one", sel(notifier.Selection{ID: lost}), []count{{"answer-lost", skipped, maybe, 1}}},
			{"the id of one with an open attempt", sel(notifier.Selection{ID: unproven}), []count{{"error-30008", skipped, maybe, 1}}},
			{"the id of one that was sent again", sel(notifier.Selection{ID: again}), []count{{"error-30003", skipped, "sent-again", 1}}},
			{"the id of one that is past", sel(notifier.Selection{ID: past}), []count{{"late", skipped, "past", 1}}},
			{"the id of an event", sel(notifier.Selection{ID: ev}), events},
		} {
			before := w.dump()
			c.o.DryRun = true
			r := w.redrive(w.parked(), c.o)
			if d := cmp.Diff(c.want, counts(r)); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, d)
			}
			if !r.DryRun || r.Interrupted {
				t.Errorf("%s: %+v", c.name, r)
			}
			if d := cmp.Diff(before, w.dump()); d != "" {
				t.Fatalf("%s: a dry run changed (-before +after):\n%s", c.name, d)
			}
		}
		for name, s := range map[string]notifier.Selection{"no text": {ID: uuid.NewString()}, "nothing": {ID: "x"}, "an event, as text": {ID: ev,
			Kind: notifier.ParkedTexts}, "a text, as event": {ID: bad, Kind: notifier.ParkedEvents}} {
			if _, err := w.parked().Redrive(t.Context(), order{Select: s}); !errors.Is(err, notifier.ErrNotParked) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, o := range []order{{}, {All: true, Select: notifier.Selection{ID: bad}}, {Select: notifier.Selection{Kind: notifier.ParkedTexts}}} {
			if r, err := w.parked().Redrive(t.Context(), o); err == nil || r.Redriven != 0 {
				t.Errorf("%+v is no clear order: %+v", o, r)
			}
		}
		// What a dry run says, happens.
		final := order{All: true, AcceptDuplicates: true, EvenPermanent: true}
		said := final
		said.DryRun = true
		dry := w.redrive(w.parked(), said)
		dry.DryRun = false
		if d := cmp.Diff(dry, w.redrive(w.parked(), final)); d != "" {
			t.Errorf("the dry run said something else (-said +done):\n%s", d)
		}
		if n := len(w.resends()); n != 7 {
			t.Errorf("%d resends, not 7", n)
		}
	})
}

// Ctrl-C after any item: what was begun is done, nothing else is, and the repeat does the rest, each once.
func TestRedriveIsInterruptedAndRepeated(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		const n = 7
		for range n {
			w.open(notifier.StateFailed, "error-30007")
			w.readable()
		}
		left := 2 * n
		for _, k := range []int{1, 3, 5} { // within the events, at their end, and within the texts
			ctx, cancel := context.WithCancel(t.Context())
			done := 0
			r, err := w.parked().Redrive(ctx, notifier.RedriveOrder{All: true, Progress: func(notifier.RedriveCounts) {
				if done++; done == k {
					cancel()
				}
			}})
			cancel()
			if !errors.Is(err, context.Canceled) || !r.Interrupted || r.RedriveCounts != (notifier.RedriveCounts{Redriven: int64(k)}) {
				t.Fatalf("after %d: %+v, %v", k, r, err)
			}
			left -= k
			if got := w.waiting(); got != left {
				t.Fatalf("%d are parked still, not %d", got, left)
			}
		}
		// A cancel while an item is under way waits for that item.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w.hook = func(notifier.ResendRequest) error { cancel(); return nil }
		r, err := w.parked().Redrive(ctx, notifier.RedriveOrder{All: true})
		if !errors.Is(err, context.Canceled) || r.Redriven != 1 || w.waiting() != left-1 {
			t.Fatalf("%+v, %v", r, err)
		}
		w.hook = nil
		if r := w.redrive(w.parked(), notifier.RedriveOrder{All: true, Limit: 2}); r.Redriven != 2 || r.Interrupted {
			t.Errorf("with a limit: %+v", r)
		}
		if r := w.redrive(w.parked(), notifier.RedriveOrder{All: true}); r.Redriven != int64(left-3) {
			t.Errorf("the rest: %+v, with %d left", r, left-3)
		}
		w.each(t, n, n)
	})
}

// waiting is how much is parked and open.
func (w *world) waiting() (n int) {
	w.t.Helper()
	list, err := w.parked().List(context.Background(), notifier.Selection{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, g := range list {
		if g.Standing == notifier.StandingOpen {
			n += int(g.Count)
		}
	}
	return n
}

// each fails unless so many texts were each asked for once, and so many events have each one new text.
func (w *world) each(t *testing.T, texts, events int) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range w.resends() {
		if r.Number != 1 || seen[r.Reservation] {
			t.Errorf("asked twice: %+v", r)
		}
		seen[r.Reservation] = true
	}
	var made []string
	w.read(&made, `SELECT CAST(reservation_id AS text) FROM message WHERE state = 'pending'`)
	if len(seen) != texts || len(made) != events || w.waiting() != 0 {
		t.Errorf("%d of %d texts asked for, %d of %d events taken in, %d waiting", len(seen), texts, len(made), events, w.waiting())
	}
}

// Two redrives at once, with pages that overlap: each item once, and each redrive knows what was the other's.
func TestRedriveTwiceAtOnce(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		const n = 25
		for range n {
			w.open(notifier.StateFailed, "error-30007")
			w.readable()
		}
		var wg sync.WaitGroup
		reports, errs := make([]notifier.RedriveReport, 4), make([]error, 4)
		for i := range reports {
			wg.Go(func() {
				p := w.parked()
				p.Page = 10 * (i + 1)
				reports[i], errs[i] = p.Redrive(context.Background(), notifier.RedriveOrder{All: true})
			})
		}
		wg.Wait()
		sum := int64(0)
		for i, r := range reports {
			if errs[i] != nil || r.Failed != 0 {
				t.Errorf("%+v: %v", r, errs[i])
			}
			sum += r.Redriven
		}
		if sum != 2*n {
			t.Errorf("%d redriven in all, not %d: %+v", sum, 2*n, reports)
		}
		w.each(t, n, n)
	})
}

// What changed between the look and the lock decides: a receipt that came late, a cancel, another's resend.
func TestRedriveLooksAgainUnderTheLock(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		late := w.open(notifier.StateFailed, "late")
		newer := w.booked()
		w.text(parkedText{reservation: newer.ReservationID, reason: "newer"})
		asked := w.booked()
		asked.Resend = 1
		w.text(parkedText{reservation: asked.ReservationID, reason: "asked"})
		arrived := w.open(notifier.StateFailed, "may")
		w.hook = func(r notifier.ResendRequest) error {
			switch r.Reason {
			case "redrive: late":
				w.exec(`UPDATE message SET state = 'delivered', reason = '' WHERE id = ?`, late)
			case "redrive: newer":
				w.exec(`UPDATE reservation SET version = 2, status = 'cancelled' WHERE id = ?`, newer.ReservationID)
			case "redrive: asked":
				w.append(asked)
			case "redrive: may":
				w.exec(`UPDATE message SET state = 'held', reason = 'answer-lost' WHERE id = ?`, arrived)
			}
			return nil
		}
		r := w.redrive(w.parked(), notifier.RedriveOrder{All: true})
		want := []count{{"asked", notifier.Skipped, "sent-again", 1}, {"late", notifier.Skipped, "gone", 1},
			{"may", notifier.Skipped, "may-have-arrived", 1}, {"newer", notifier.Skipped, "superseded", 1}}
		if d := cmp.Diff(want, counts(r)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if got := w.resends(); len(got) != 0 {
			t.Errorf("resent: %+v", got)
		}
	})
}

// A refusal leaves its text parked and the others go on; any other error ends the redrive, with a report of what was done.
func TestRedriveRefusedAndFailed(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		w.open(notifier.StateFailed, "a")
		refused := w.open(notifier.StateFailed, "b")
		w.open(notifier.StateFailed, "c")
		w.open(notifier.StateFailed, "d")
		w.open(notifier.StateFailed, "e")
		errNo, errAway := fmt.Errorf("%w: no", notifier.ErrResendRefused), errors.New("away")
		w.hook = func(r notifier.ResendRequest) error {
			return map[string]error{"redrive: b": errNo, "redrive: d": errAway}[r.Reason]
		}
		r, err := w.parked().Redrive(t.Context(), notifier.RedriveOrder{All: true})
		if !errors.Is(err, errAway) || !r.Interrupted {
			t.Errorf("%+v, %v", r, err)
		}
		want := []notifier.RedriveGroup{
			{Kind: notifier.ParkedTexts, Cause: "b", Outcome: notifier.Unmoved, Why: errNo.Error(), Count: 1, Examples: []string{refused}}}
		if d := cmp.Diff(want, r.Groups[1:2]); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if r.RedriveCounts != (notifier.RedriveCounts{Redriven: 2, Failed: 1}) {
			t.Errorf("%+v", r.RedriveCounts)
		}
		w.hook = nil
		if r := w.redrive(w.parked(), notifier.RedriveOrder{All: true}); r.Redriven != 3 {
			t.Errorf("the repeat: %+v", r)
		}
		w.each(t, 5, 0)
		// Without a way to ask again texts stay, and events go on.
		w.readable()
		w.open(notifier.StateFailed, "f")
		p := w.parked()
		p.Resend = nil
		if r, err := p.Redrive(t.Context(), notifier.RedriveOrder{All: true}); err == nil || r.Redriven != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// However redrives are interrupted, refused, rehearsed, limited, or lose the answer to a COMMIT, and however the intake lags, in
// the end each text was asked for again once, and each event taken in once.
func TestRedriveConverges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dbtest.SQLite(t, sqldb.Options{Now: func() time.Time { return parkedNow }}))
	rapid.Check(t, func(rt *rapid.T) {
		for _, table := range []string{"resend", "outbox", "message", "parked_event"} {
			w.exec("DELETE FROM " + table)
		}
		texts, events := rapid.IntRange(0, 4).Draw(rt, "texts"), rapid.IntRange(0, 3).Draw(rt, "events")
		for range texts {
			w.open(notifier.StateFailed, "error-30007")
		}
		for range events {
			w.readable()
		}
		for range rapid.IntRange(0, 6).Draw(rt, "runs") {
			if rapid.Bool().Draw(rt, "intake") {
				w.takeIn()
			}
			ctx, cancel := context.WithCancel(t.Context())
			stop := rapid.IntRange(0, 4).Draw(rt, "stop")
			fate := rapid.SampledFrom([]string{"", "refused", "lost before", "lost after"}).Draw(rt, "fate")
			at, n := rapid.IntRange(0, 3).Draw(rt, "at"), 0
			fail := func(kind string, err error) func(notifier.ResendRequest) error {
				return func(notifier.ResendRequest) error {
					if n++; fate == kind && n > at {
						return err
					}
					return nil
				}
			}
			w.hook, w.after = fail("lost before", errors.New("lost")), nil
			switch fate {
			case "refused":
				w.hook = fail(fate, notifier.ErrResendRefused)
			case "lost after":
				w.hook, w.after = nil, fail(fate, errors.New("lost"))
			}
			p := w.parked()
			p.Page = rapid.IntRange(1, 3).Draw(rt, "page")
			_, _ = p.Redrive(ctx, notifier.RedriveOrder{All: true, Limit: rapid.IntRange(0, 3).Draw(rt, "limit"),
				DryRun: rapid.Bool().Draw(rt, "dry"), Progress: func(c notifier.RedriveCounts) {
					if c.Redriven+c.Skipped+c.Failed == int64(stop) {
						cancel()
					}
				}})
			cancel()
		}
		w.hook, w.after = nil, nil
		w.redrive(w.parked(), notifier.RedriveOrder{All: true})
		if again := w.redrive(w.parked(), notifier.RedriveOrder{All: true}); again.RedriveCounts != (notifier.RedriveCounts{}) {
			rt.Fatalf("a repeat found more: %+v", again)
		}
		w.exec("DELETE FROM message WHERE resend > 0") // what takeIn made: each counts events alone
		w.each(t, texts, events)
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// takeIn makes messages of the resends in the outbox, as the intake does in its own time.
func (w *world) takeIn() {
	w.t.Helper()
	w.exec(`INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, resend, state, event_at, created_at, updated_at)
		SELECT event_id, event_id, reservation_id, version, 'confirmation', recipients, resend, 'pending', created_at, created_at, created_at
		FROM outbox WHERE resend > 0 ON CONFLICT DO NOTHING`)
}

// What a parked event comes to, by what it is now.
func TestRedriveEvents(t *testing.T) {
	t.Parallel()
	const version = "event of an unknown version: ansim.reservation.booked.v1"
	eachWorld(t, func(t *testing.T, w *world) {
		aside := func(e event.Event, reason string) string {
			return w.event("outbox", map[string]string{}, []byte(e.ID), reason)
		}
		for _, c := range []struct {
			name   string
			park   func() (id string, e event.Event)
			want   count
			texts  int
			reason string // that it has when it stays
		}{
			{"became readable", w.readable, count{version, notifier.Redriven, "", 1}, 1, ""},
			{"for two people", func() (string, event.Event) {
				e := w.booked(event.Resident, event.Booker)
				h, b := w.record(e)
				return w.event(event.Topic, h, b, version), e
			}, count{version, notifier.Redriven, "", 1}, 2, ""},
			{"its texts are there", func() (string, event.Event) {
				id, e := w.readable()
				w.text(parkedText{reservation: e.ReservationID, state: notifier.StateDelivered})
				return id, e
			}, count{version, notifier.Redriven, "its texts are there already", 1}, 1, ""},
			{"still of a newer version", func() (string, event.Event) {
				e := w.booked()
				h, b := w.record(e)
				h["ce_type"] = "ansim.reservation.booked.v2"
				return w.event(event.Topic, h, b, "event of an unknown version: ansim.reservation.booked.v2"), e
			}, count{"event of an unknown version: ansim.reservation.booked.v2", notifier.Unmoved, "event of an unknown version: ansim.reservation.booked.v2", 1}, 0,
				"event of an unknown version: ansim.reservation.booked.v2"},
			{"malformed in another way", func() (string, event.Event) {
				e := w.booked()
				h, b := w.record(e)
				return w.event(event.Topic, h, b[1:], version), e
			}, count{version, notifier.Unmoved, "malformed event: the body is not JSON of the expected form", 1}, 0,
				"malformed event: the body is not JSON of the expected form"},
			{"headers that are no JSON", func() (string, event.Event) {
				id, e := w.readable()
				w.exec(`UPDATE parked_event SET headers = 'x' WHERE id = ?`, id)
				return id, e
			}, count{version, notifier.Unmoved, "malformed event: its headers are not as the intake writes them", 1}, 0,
				"malformed event: its headers are not as the intake writes them"},
			{"an outbox row that is understood now", func() (string, event.Event) {
				e := w.booked()
				w.append(e)
				return aside(e, "event of an unknown type"), e
			}, count{"event of an unknown type", notifier.Redriven, "", 1}, 1, ""},
			{"an outbox row of an unknown type", func() (string, event.Event) {
				e := w.booked()
				e.Type = "ansim.reservation.moved.v1"
				w.append(e)
				return aside(e, "event of an unknown type"), e
			}, count{"event of an unknown type", notifier.Unmoved, "event of an unknown type", 1}, 0, "event of an unknown type"},
			{"an outbox row that is gone", func() (string, event.Event) {
				e := w.booked()
				return aside(e, "event of an unknown type"), e
			}, count{"event of an unknown type", notifier.Unmoved, "its outbox row is gone", 1}, 0, "its outbox row is gone"},
			{"an outbox row without an id", func() (string, event.Event) {
				return aside(event.Event{ID: "no id"}, "the database refuses it"), w.booked()
			}, count{"the database refuses it", notifier.Unmoved, "its outbox row is gone", 1}, 0, "its outbox row is gone"},
			{"refused by the database", func() (string, event.Event) {
				e := w.booked("neighbour")
				w.append(e)
				return aside(e, "the database refuses it"), e
			}, count{"the database refuses it", notifier.Unmoved, "the database refuses it", 1}, 0, "the database refuses it"},
		} {
			id, e := c.park()
			order := notifier.RedriveOrder{Select: notifier.Selection{ID: id}, DryRun: true}
			before := w.dump()
			dry := w.redrive(w.parked(), order)
			if d := cmp.Diff(before, w.dump()); d != "" {
				t.Errorf("%s: the dry run changed (-before +after):\n%s", c.name, d)
			}
			order.DryRun, dry.DryRun = false, false
			r := w.redrive(w.parked(), order)
			if d := cmp.Diff(dry, r); d != "" {
				t.Errorf("%s: the dry run said something else (-said +done):\n%s", c.name, d)
			}
			if d := cmp.Diff([]count{c.want}, counts(r)); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, d)
			}
			var texts []string
			w.read(&texts, `SELECT CAST(event_id AS text) FROM message WHERE reservation_id = ?`, e.ReservationID)
			var reasons []string
			w.read(&reasons, `SELECT reason FROM parked_event WHERE id = ?`, id)
			if len(texts) != c.texts || (c.reason == "") != (len(reasons) == 0) || c.reason != "" && reasons[0] != c.reason {
				t.Errorf("%s: %d texts, parked with %q", c.name, len(texts), reasons)
			}
		}
	})
}
