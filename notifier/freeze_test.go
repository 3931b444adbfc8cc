package notifier_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"ansim/notifier"
	"ansim/notifier/sandbox"
	"ansim/notifier/twilio"
	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// resumption is `ansim resume` for the rig.
func (r *rig) resumption() notifier.Resumption {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(r.t.Output(), nil))
	provider, err := twilio.New(twilio.Options{AccountSID: r.phones.AccountSID(), AuthToken: r.phones.AuthToken(),
		From: "+15005550006", BaseURL: r.api.URL, PublicURL: r.back.URL, Log: log})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(provider.Close)
	return notifier.Resumption{DB: r.db, Directory: r.directory, Provider: provider, Policy: r.policy, Log: log, By: "cli:test",
		Noted: func(context.Context, *sqldb.Tx, notifier.ResumeReport) error { return nil }}
}

func unnoted(context.Context, *sqldb.Tx) error { return nil }

func (r *rig) frozen() notifier.SendingState {
	r.t.Helper()
	s, err := notifier.ReadSending(r.t.Context(), r.db)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// forget makes the database one of before anything of a reservation's texts was known, as a restored backup is.
func (r *rig) forget(reservation string) {
	r.t.Helper()
	err := r.db.Write(r.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for _, q := range []string{
			`DELETE FROM receipt WHERE attempt_token IN (SELECT a.token FROM attempt a JOIN message m ON m.id = a.message_id WHERE m.reservation_id = ?)`,
			`DELETE FROM provider_text WHERE attempt_token IN (SELECT a.token FROM attempt a JOIN message m ON m.id = a.message_id WHERE m.reservation_id = ?)`,
			`DELETE FROM attempt WHERE message_id IN (SELECT id FROM message WHERE reservation_id = ?)`,
			`DELETE FROM message_queue WHERE message_id IN (SELECT id FROM message WHERE reservation_id = ?)`,
			`DELETE FROM message WHERE reservation_id = ?`,
		} {
			if _, err := tx.Exec(ctx, q, reservation); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// state is that of a reservation's newest text, "" when it has none.
func (r *rig) state(id string) notifier.State {
	r.t.Helper()
	list := r.texts(id)
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1].State
}

// count is how many messages are in a state.
func (r *rig) count(s notifier.State) int {
	r.t.Helper()
	return r.number(`SELECT COUNT(*) FROM message WHERE state = ?`, string(s))
}

func (r *rig) number(sql string, args ...any) int {
	r.t.Helper()
	var n []int
	r.query(&n, sql, args...)
	return n[0]
}

// While sending is frozen nothing goes out, and nothing is lost: afterwards it does.
func TestFrozenSendsNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		n := r.start()
		before := r.reservation(1)
		r.deliver(r.event(before, event.Booked, 1))
		r.until("the first is delivered", func() bool { return r.state(before) == "delivered" })
		if err := notifier.Freeze(t.Context(), db, "cli:test", unnoted); err != nil {
			t.Fatal(err)
		}
		if s := r.frozen(); !s.Frozen || s.Reason != notifier.FrozenByPerson || s.By != "cli:test" || s.Since.IsZero() {
			t.Errorf("%+v", s)
		}
		later := r.reservation(2)
		r.deliver(r.event(later, event.Booked, 1))
		r.until("it is taken in", func() bool { return r.state(later) == "pending" })
		n.Stop() // whatever it was about to begin has begun
		if got := r.taken(); got != 1 || r.state(later) != "pending" {
			t.Fatalf("%d texts while frozen, the second is %s", got, r.state(later))
		}
		report, err := r.resumption().Run(t.Context())
		if err != nil || !report.Resumed || report.Found != 0 || report.Waiting != 1 {
			t.Fatalf("%+v, %v", report, err)
		}
		r.start()
		r.until("the second is delivered", func() bool { return r.state(later) == "delivered" })
		if got := r.taken(); got != 2 {
			t.Errorf("%d texts", got)
		}
		if _, err := r.resumption().Run(t.Context()); !errors.Is(err, notifier.ErrNotFrozen) {
			t.Errorf("resumed twice: %v", err)
		}
	})
}

// What went out before the database was put back is found in the provider's list, and not sent again.
func TestResumeFindsWhatWentOut(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		n := r.start()
		const people = 40
		var ids []string
		var events []event.Event
		for i := range people {
			ids = append(ids, r.reservation(i))
			events = append(events, r.event(ids[i], event.Booked, 1))
		}
		r.deliver(events...)
		r.until("all are delivered", func() bool { return r.count("delivered") == people })
		n.Stop()
		if err := notifier.Freeze(t.Context(), db, "cli:test", unnoted); err != nil {
			t.Fatal(err)
		}
		// The database forgets the texts of all but five; of those that it knows, nothing is asked.
		for _, id := range ids[5:] {
			r.forget(id)
		}
		// Ten more had been booked and were never sent.
		for i := range 10 {
			id := r.reservation(people + i)
			ids, events = append(ids, id), append(events, r.event(id, event.Booked, 1))
		}
		r.start()
		r.deliver(events...) // as Kafka, or the sweeper, brings them again
		r.until("all are taken in", func() bool { return r.count("pending") == people-5+10 })
		dry := r.resumption()
		dry.DryRun = true
		if report, err := dry.Run(t.Context()); err != nil || report.Resumed || report.Found != people-5 || !r.frozen().Frozen {
			t.Fatalf("dry run: %+v, %v", report, err)
		}
		report, err := r.resumption().Run(t.Context())
		if err != nil || report.Found != people-5 || report.Waiting != people-5+10 {
			t.Fatalf("%+v, %v", report, err)
		}
		r.until("all are delivered", func() bool { return r.count("delivered") == people+10 })
		if got := r.taken(); got != people+10 {
			t.Errorf("%d texts for %d people", got, people+10)
		}
		r.exactlyOne(ids...)
		if n := r.number(`SELECT COUNT(*) FROM attempt WHERE provider_sid IS NULL`); n != 0 {
			t.Errorf("%d attempts do not know their text", n)
		}
	})
}

// A provider that does not answer leaves sending frozen: what went out is not known.
func TestResumeNeedsTheList(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		if err := notifier.Freeze(t.Context(), db, "cli:test", unnoted); err != nil {
			t.Fatal(err)
		}
		id := r.reservation(1)
		e := r.event(id, event.Booked, 1)
		e.Time = e.Time.Add(-time.Hour)
		r.start()
		r.deliver(e)
		r.until("it is taken in", func() bool { return r.state(id) == "pending" })
		r.faults(sandbox.Rule{On: sandbox.OnList, Answer: sandbox.Answer500})
		if _, err := r.resumption().Run(t.Context()); err == nil || !r.frozen().Frozen {
			t.Fatalf("the list could not be read: %v, frozen %v", err, r.frozen().Frozen)
		}
		blind := r.resumption()
		blind.Provider = nil
		if report, err := blind.Run(t.Context()); err != nil || report.Looked != 0 || r.frozen().Frozen {
			t.Errorf("without the list: %+v, %v", report, err)
		}
	})
}

// A database with another history than when the last text was sent freezes by itself, in the transaction that would have begun
// an attempt.
func TestAnotherHistoryFreezes(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if db.Dialect() == sqldb.SQLite {
			return // a file does not know that it was put back; README says so
		}
		r := newRig(t, db, quick)
		first := r.reservation(1)
		n := r.start()
		r.deliver(r.event(first, event.Booked, 1))
		r.until("the first is delivered", func() bool { return r.state(first) == "delivered" })
		n.Stop()
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			changed, err := tx.Exec(ctx, `UPDATE sending SET world = '7000000000000000000/00000001' WHERE world LIKE '%/0000000%'`)
			if err == nil && changed != 1 {
				err = errors.New("the server and its history were not remembered")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		second := r.reservation(2)
		r.start()
		r.deliver(r.event(second, event.Booked, 1))
		r.until("sending is frozen", func() bool { return r.frozen().Frozen })
		if s := r.frozen(); s.Reason != notifier.FrozenByHistory || r.taken() != 1 {
			t.Errorf("%+v, %d texts", s, r.taken())
		}
		if _, err := r.resumption().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.until("the second is delivered", func() bool { return r.state(second) == "delivered" })
	})
}

// An event whose change the database does not have says that the database was put back: no text goes out for it, and none at
// all until somebody has looked.
func TestATopicThatIsAheadFreezes(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		r.written = outbox.Written
		r.start()
		known, lost := r.reservation(1), r.reservation(2)
		e := r.event(known, event.Booked, 1)
		r.insertOutbox(e)
		ahead := r.event(lost, event.Booked, 1)
		ahead.ID = uuid.Must(uuid.NewV7()).String()
		r.deliver(e)
		r.until("the first is delivered", func() bool { return r.state(known) == "delivered" })
		r.deliver(ahead)
		r.until("sending is frozen", func() bool { return r.frozen().Frozen })
		if s := r.frozen(); s.Reason != notifier.FrozenByTopic || r.taken() != 1 {
			t.Errorf("%+v, %d texts", s, r.taken())
		}
		if n := r.number(`SELECT COUNT(*) FROM parked_event WHERE reason LIKE '%not in the database%'`); n != 1 {
			t.Errorf("%d events are parked with their reason", n)
		}
		if n := r.number(`SELECT COUNT(*) FROM message WHERE reservation_id = ?`, lost); n != 0 {
			t.Errorf("%d messages for it", n)
		}
	})
}
