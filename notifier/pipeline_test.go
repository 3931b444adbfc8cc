package notifier_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"ansim/notifier"
	"ansim/notifier/sandbox"
	"ansim/outbox/kafka"
	"ansim/schema/event"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

func TestEveryEventBecomesOneDeliveredText(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		r.start()
		var ids []string
		for i := range 200 {
			id := r.reservation(i)
			ids = append(ids, id)
			r.deliver(r.event(id, event.Booked, 1))
		}
		r.untilState(notifier.StateDelivered, ids...)
		if n := r.taken(); n != 200 {
			t.Errorf("the network took %d texts", n)
		}
		if v := r.phones.Violations(); len(v) != 0 {
			t.Errorf("violations: %v", v)
		}
	})
}

func TestAnEventDeliveredAHundredTimesIsOneText(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		r.start()
		id := r.reservation(1)
		e := r.event(id, event.Booked, 1)
		for range 100 {
			r.deliver(e)
		}
		// The same change under another event id is the same text too.
		again := r.event(id, event.Booked, 1)
		r.deliver(again)
		r.untilState(notifier.StateDelivered, id)
		r.until("all records are committed", func() bool { return r.source.commits() == 101 })
		if n := r.taken(); n != 1 {
			t.Errorf("the network took %d texts, want 1", n)
		}
	})
}

// TestLostAnswersEndInOneText: the provider took it, and the answer was lost, in every way that the sandbox knows.
func TestLostAnswersEndInOneText(t *testing.T) {
	t.Parallel()
	for _, answer := range []sandbox.Answer{sandbox.AnswerHang, sandbox.AnswerDrop, sandbox.Answer500, sandbox.Answer503, sandbox.AnswerTruncated} {
		for _, callbacks := range []string{sandbox.CallbacksNone, sandbox.CallbacksNormal} {
			t.Run(string(answer)+"/callbacks-"+callbacks, func(t *testing.T) {
				t.Parallel()
				dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
					r := newRig(t, db, searching())
					if err := r.phones.SetFaults(sandbox.Rule{Answer: answer, Happen: "yes", Callbacks: callbacks}); err != nil {
						t.Fatal(err)
					}
					r.start()
					id := r.reservation(1)
					r.deliver(r.event(id, event.Booked, 1))
					r.until("the text is known to be accepted", func() bool {
						list := r.texts(id)
						return len(list) == 1 && list[0].AcceptedAt != nil
					})
					if n := r.taken(); n != 1 {
						t.Errorf("the network took %d texts, want 1", n)
					}
				})
			})
		}
	}
}

// TestALostTextIsFoundByAnotherClock: the database's clock is wrong, and the provider's list tells the times of its own.
func TestALostTextIsFoundByAnotherClock(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			dbtest.EachOpen(t, func(t *testing.T, open dbtest.Open) {
				r := newRig(t, open(t, sqldb.Options{Now: func() time.Time { return time.Now().Add(off) }}), quick)
				r.faults(sandbox.Rule{Answer: sandbox.Answer500, Happen: "yes", Callbacks: sandbox.CallbacksNone})
				r.start()
				id := r.reservation(1)
				r.deliver(r.event(id, event.Booked, 1))
				r.untilAllAccepted(id)
				r.exactlyOne(id)
			})
		})
	}
}

// TestTextsThatNeverArrivedGoOut: the provider did not take it, and said so, or said nothing.
func TestTextsThatNeverArrivedGoOut(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]sandbox.Rule{
		"dropped":  {Happen: "no", Answer: sandbox.AnswerDrop, Count: 2},
		"500":      {Happen: "no", Answer: sandbox.Answer500, Count: 2},
		"503":      {Happen: "no", Answer: sandbox.Answer503, Count: 2},
		"429":      {Answer: sandbox.Answer429, Count: 3},
		"refused":  {Answer: sandbox.AnswerRefuse, Count: 2},
		"hanging":  {Happen: "no", Answer: sandbox.AnswerHang, Count: 1},
		"bad auth": {Answer: sandbox.Answer401, Count: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				r := newRig(t, db, hasty())
				if err := r.phones.SetFaults(rule); err != nil {
					t.Fatal(err)
				}
				r.start()
				id := r.reservation(1)
				r.deliver(r.event(id, event.Booked, 1))
				r.untilState(notifier.StateDelivered, id)
				if n := r.taken(); n != 1 {
					t.Errorf("the network took %d texts, want 1", n)
				}
				if f := r.phones.Faults(); f[0].Fired != rule.Count {
					t.Errorf("the fault fired %d times, want %d", f[0].Fired, rule.Count)
				}
			})
		})
	}
}

func TestWhatDoesNotArriveSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule   sandbox.Rule
		state  notifier.State
		reason string
	}{
		"refused for good":  {sandbox.Rule{Answer: "400:21614"}, notifier.StateFailed, "error-21614"},
		"taken, no arrival": {sandbox.Rule{Final: "undelivered:30003"}, notifier.StateUndelivered, "error-30003"},
		"taken, not sent":   {sandbox.Rule{Final: "failed:30008"}, notifier.StateUndelivered, "error-30008"},
		"taken, no number":  {sandbox.Rule{Final: "undelivered:30005"}, notifier.StateFailed, "error-30005"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				r := newRig(t, db, quick)
				if err := r.phones.SetFaults(c.rule); err != nil {
					t.Fatal(err)
				}
				r.start()
				id := r.reservation(1)
				r.deliver(r.event(id, event.Booked, 1))
				r.untilState(c.state, id)
				if got := r.texts(id)[0].Reason; got != c.reason {
					t.Errorf("reason %q, want %q", got, c.reason)
				}
			})
		})
	}
}

func TestCallbacksBeforeTheAnswerTwiceAndReordered(t *testing.T) {
	t.Parallel()
	for _, callbacks := range []string{sandbox.CallbacksEarly, sandbox.CallbacksTwice, sandbox.CallbacksReordered} {
		t.Run(callbacks, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				r := newRig(t, db, quick)
				if err := r.phones.SetFaults(sandbox.Rule{Callbacks: callbacks, Final: "delivered"}); err != nil {
					t.Fatal(err)
				}
				r.start()
				var ids []string
				for i := range 20 {
					ids = append(ids, r.reservation(i))
					r.deliver(r.event(ids[i], event.Booked, 1))
				}
				r.untilState(notifier.StateDelivered, ids...)
				if n := r.taken(); n != 20 {
					t.Errorf("the network took %d texts", n)
				}
			})
		})
	}
}

func TestNoConfirmationAfterACancel(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		id := r.reservation(1)
		booked, cancelled := r.event(id, event.Booked, 1), r.cancel(id)
		r.deliver(cancelled, booked) // also when the cancel overtakes
		r.start()
		r.untilState(notifier.StateDelivered, id)
		list := r.texts(id)
		if len(list) != 2 || list[0].State != notifier.StateSuppressed || list[0].Reason != notifier.ReasonCancelled {
			t.Fatalf("got %+v", list)
		}
		texts := r.phones.Texts()
		if len(texts) != 1 || !strings.Contains(texts[0].Body, "예약취소") {
			t.Errorf("the network took %d texts", len(texts))
		}
	})
}

// TestACancellationWaitsForAnUnknownConfirmation: what a person reads last is what is true.
func TestACancellationWaitsForAnUnknownConfirmation(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		// Taken, lost, and not shown by any list nor callback: unknown to the deadline.
		if err := r.phones.SetFaults(sandbox.Rule{Match: sandbox.Match{BodyContains: "예약완료"}, Answer: sandbox.Answer500,
			Callbacks: sandbox.CallbacksNone, ListLag: sandbox.Duration(time.Hour)}, unreadable); err != nil {
			t.Fatal(err)
		}
		r.start()
		id := r.reservation(1)
		r.deliver(r.event(id, event.Booked, 1))
		r.untilState(notifier.StateUnknown, id)
		r.deliver(r.cancel(id))
		r.until("the cancellation waits", func() bool { return len(r.texts(id)) == 2 })
		r.faults()
		r.untilState(notifier.StateDelivered, id)
		list := r.texts(id)
		if len(list) != 2 || list[0].State != notifier.StateSuppressed || list[0].Reason != notifier.ReasonMaybeSent {
			t.Fatalf("got %+v", list)
		}
		texts := r.phones.Texts() // newest first
		if len(texts) != 2 {
			t.Fatalf("the network took %d texts, want the confirmation once and the cancellation", len(texts))
		}
	})
}

// A number was corrected while it was not known what became of the text to the old one: it is looked for where it went.
func TestALostTextIsLookedUpWhereItWent(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		r.faults(sandbox.Rule{Match: sandbox.Match{BodyContains: "예약완료"}, Answer: sandbox.Answer500, Callbacks: sandbox.CallbacksNone})
		id := r.reservation(1)
		// Corrected already when the answer is lost: so no look at the old number comes before.
		r.alter(id, func(a *notifier.Appointment) { a.PastPhones = map[int]personal.Phone{1: a.Phone} })
		r.start()
		r.deliver(r.event(id, event.Booked, 1))
		r.until("the first text was taken", func() bool { return r.taken() == 1 })
		version := r.alter(id, func(a *notifier.Appointment) { a.Version, a.Phone = a.Version+1, "+821055556666" }).Version
		r.deliver(r.event(id, event.Changed, version))
		// The list may show the first before it has arrived, and no callback comes for it.
		r.until("both texts are there", func() bool {
			list := r.texts(id)
			return len(list) == 2 && list[0].AcceptedAt != nil && list[1].State == notifier.StateDelivered
		})
		if n := r.taken(); n != 2 {
			t.Errorf("the network took %d texts", n)
		}
	})
}

// Somebody asked for a text again, at the risk of a second copy, while it was being found out whether the first had been sent:
// then there is no further attempt of the first, which would be a third.
func TestNoFurtherAttemptOfWhatWasSentAgain(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		r.faults(sandbox.Rule{Answer: sandbox.Answer500, Callbacks: sandbox.CallbacksNone, ListLag: sandbox.Duration(time.Hour), Count: 1}, unreadable)
		r.start()
		id := r.reservation(1)
		r.deliver(r.event(id, event.Booked, 1))
		r.untilState(notifier.StateUnknown, id)
		r.deliver(r.again(id, 1))
		r.until("the second is there", func() bool { return len(r.texts(id)) == 2 })
		r.faults()
		r.until("the first is given up, and the second has arrived", func() bool {
			list := r.texts(id)
			return len(list) == 2 && list[0].State == notifier.StateSuppressed && list[1].State == notifier.StateDelivered
		})
		if list := r.texts(id); list[0].Reason != notifier.ReasonSentAgain || list[0].Attempts != 1 {
			t.Errorf("the first: %+v", list[0])
		}
		if n := r.taken(); n != 2 {
			t.Errorf("the network took %d texts", n)
		}
	})
}

func TestUnknownForGoodIsHeldAfterFourAttempts(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		if err := r.phones.SetFaults(sandbox.Rule{Happen: "no", Answer: sandbox.Answer500}); err != nil {
			t.Fatal(err)
		}
		r.start()
		id := r.reservation(1)
		r.deliver(r.event(id, event.Booked, 1))
		r.untilState(notifier.StateHeld, id)
		if got := r.texts(id)[0]; got.Attempts != 4 || got.Reason != notifier.ReasonAnswerLost {
			t.Errorf("got %+v", got)
		}
	})
}

func TestUnreadableEventsAreParkedAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		r.start()
		id := r.reservation(1)
		good := r.event(id, event.Booked, 1)
		future := good
		future.Type = "ansim.reservation.booked.v2"
		r.source.records <- kafka.Record{Topic: event.Topic, Offset: 7, Body: []byte("\x00\xffnot json")}
		r.deliver(future, good)
		r.untilState(notifier.StateDelivered, id)
		var reasons []string
		err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return tx.Select(ctx, &reasons, `SELECT reason FROM parked_event ORDER BY topic_offset DESC`)
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(reasons) != 2 || !strings.Contains(reasons[0], "malformed") || !strings.Contains(reasons[1], "version") {
			t.Errorf("parked: %q", reasons)
		}
	})
}

// TestTheSweeperHealsALostKafka: the outbox alone is enough.
func TestTheSweeperHealsALostKafka(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := quick
		p.SweepEvery, p.SweepAfter = 10*time.Millisecond, 50*time.Millisecond
		r := newRig(t, db, p)
		var ids []string
		var events []event.Event
		for i := range 50 {
			ids = append(ids, r.reservation(i))
			events = append(events, r.event(ids[i], event.Booked, 1))
		}
		r.insertOutbox(events...)
		r.deliver(events[:20]...) // these did come, too
		r.start()
		r.untilState(notifier.StateDelivered, ids...)
		if n := r.taken(); n != 50 {
			t.Errorf("the network took %d texts", n)
		}
	})
}

// TestTwoNotifiersShareTheWork: neither sends what the other does.
func TestTwoNotifiersShareTheWork(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		r.start()
		r.start()
		var ids []string
		for i := range 300 {
			ids = append(ids, r.reservation(i))
			r.deliver(r.event(ids[i], event.Booked, 1))
		}
		r.untilState(notifier.StateDelivered, ids...)
		if n := r.taken(); n != 300 {
			t.Errorf("the network took %d texts", n)
		}
	})
}

func TestStopLeavesNothingClaimed(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		if err := r.phones.SetFaults(sandbox.Rule{Delay: sandbox.Duration(20 * time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
		n := r.start()
		var ids []string
		for i := range 400 {
			ids = append(ids, r.reservation(i))
			r.deliver(r.event(ids[i], event.Booked, 1))
		}
		r.until("some are on their way", func() bool { return r.taken() > 10 })
		n.Stop()
		n.Stop() // twice is once
		r.source.rejoin()
		r.start()
		r.untilState(notifier.StateDelivered, ids...)
		if n := r.taken(); n != 400 {
			t.Errorf("the network took %d texts", n)
		}
	})
}

// unreadable keeps what is unknown so until the rule is gone: a list that cannot be read proves nothing.
var unreadable = sandbox.Rule{On: sandbox.OnList, Answer: sandbox.Answer500}
