package notifier_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"ansim/notifier"
	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// Texts of past appointments go with all that is known of them; those of coming ones, those that are on their way, and those
// whose event is still in the outbox stay.
func TestPruning(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		n := r.start()
		gone, failed, coming, written, young := r.reservation(1), r.reservation(2), r.reservation(3), r.reservation(4), r.reservation(5)
		r.alter(failed, func(a *notifier.Appointment) { a.Phone = "+15005550001" }) // the provider's magic number: invalid
		inOutbox := r.event(written, event.Booked, 1)
		r.insertOutbox(inOutbox)
		r.deliver(r.event(gone, event.Booked, 1), r.event(failed, event.Booked, 1), r.event(coming, event.Booked, 1), inOutbox,
			r.event(young, event.Booked, 1))
		r.untilState(notifier.StateDelivered, gone, coming, written, young)
		r.untilState(notifier.StateFailed, failed)
		n.Stop()
		waits := r.reservation(6)
		r.deliver(r.event(waits, event.Booked, 1))
		later := r.start()
		r.until("the last is delivered", func() bool { return r.state(waits) == notifier.StateDelivered })
		later.Stop()

		const day = 24 * time.Hour
		old, past := sqldb.At(time.Now().Add(-100*day)), time.Now().Add(-95*day)
		for _, id := range []string{gone, failed, written, young, waits} {
			r.alter(id, func(a *notifier.Appointment) { a.StartsAt = past })
		}
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE message SET created_at = ?, updated_at = ?, event_at = ? WHERE reservation_id <> ?`, old, old, old, young); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO message_queue (message_id, job, priority, due_at, since)
				SELECT id, 'poll', 0, ?, ? FROM message WHERE reservation_id = ?`, old, old, waits)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		p := &notifier.Pruning{DB: db, Directory: r.directory, Before: time.Now().Add(-90 * day)}
		if n, err := p.Count(t.Context()); err != nil || n != 3 { // without a look at the outbox
			t.Errorf("%d would be deleted, want 3, %v", n, err)
		}
		var total int64
		for more := true; more; {
			var n int64
			if n, more, err = p.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if total != 2 {
			t.Errorf("%d are deleted, want 2", total)
		}
		for id, want := range map[string]int{gone: 0, failed: 0, coming: 1, written: 1, young: 1, waits: 1} {
			if n := len(r.texts(id)); n != want {
				t.Errorf("%d texts are left of %s, want %d", n, id, want)
			}
		}
		for table, orphans := range map[string]string{
			"attempt":       `SELECT COUNT(*) FROM attempt a WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = a.message_id)`,
			"receipt":       `SELECT COUNT(*) FROM receipt x WHERE NOT EXISTS (SELECT 1 FROM attempt a WHERE a.token = x.attempt_token)`,
			"message_queue": `SELECT COUNT(*) FROM message_queue q WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = q.message_id)`,
		} {
			if n := r.number(orphans); n != 0 {
				t.Errorf("%d orphans in %s", n, table)
			}
		}
		err = db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			at, err := notifier.Pruned(ctx, tx)
			if !at.Equal(sqldb.At(p.Before).Time) {
				t.Errorf("deleted before %s, want %s", at, p.Before)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// An event that Kafka brings again after its outbox row was deleted for its age is passed over: it neither becomes a second text
// nor a reason to freeze. One that is younger than that, and is not in the database, is.
func TestAnEventOlderThanWhatIsKept(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, quick)
		r.written = outbox.Written
		r.start()
		horizon := time.Now().Add(-30 * 24 * time.Hour)
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO outbox_retention (id, deleted_before) VALUES (1, ?)`, sqldb.At(horizon))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		old := r.event(r.reservation(1), event.Booked, 1)
		old.Time = horizon.Add(-time.Hour)
		now := r.event(r.reservation(2), event.Booked, 1)
		r.insertOutbox(now)
		r.deliver(old, now)
		r.untilState(notifier.StateDelivered, now.ReservationID)
		if s := r.frozen(); s.Frozen || r.number(`SELECT COUNT(*) FROM parked_event`) != 0 || r.taken() != 1 {
			t.Errorf("%+v, %d parked, %d texts", s, r.number(`SELECT COUNT(*) FROM parked_event`), r.taken())
		}
		never := r.event(uuid.NewString(), event.Booked, 1)
		never.Time = horizon.Add(time.Hour)
		r.deliver(never)
		r.until("sending is frozen", func() bool { return r.frozen().Frozen })
	})
}
