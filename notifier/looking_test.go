package notifier_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ansim/notifier"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// lay stores a message as it stands, of an event of its own.
func lay(ctx context.Context, db *sqldb.DB, reservation string, version int, to event.Recipient, resend int, state notifier.State) error {
	at := sqldb.At(time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC))
	return db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, resend, state, event_at,
			created_at, updated_at) VALUES (?, ?, ?, ?, 'confirmation', ?, ?, ?, ?, ?, ?)`,
			uuid.NewString(), uuid.NewString(), reservation, version, string(to), resend, string(state), at, at, at)
		return err
	})
}

func TestLooking(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		one, two, none := uuid.NewString(), uuid.NewString(), uuid.NewString()
		for _, m := range []struct {
			reservation     string
			version, resend int
			to              event.Recipient
			state           notifier.State
		}{ // laid in no order, so that the table's own cannot give the answer
			{one, 2, 1, event.Resident, notifier.StateUnknown},
			{one, 1, 7, event.Resident, notifier.StateDelivered},
			{one, 2, 0, event.Resident, notifier.StateFailed},
			{one, 1, 10, event.Booker, notifier.StateHeld},
			{one, 1, 9, event.Booker, notifier.StateSent},
			{two, 1, 0, event.Resident, notifier.Pending},
			{uuid.NewString(), 9, 9, event.Resident, notifier.Sending},
		} {
			if err := lay(t.Context(), db, m.reservation, m.version, m.to, m.resend, m.state); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]map[event.Recipient]notifier.Newest{
			one: {event.Resident: {Version: 2, Resend: 1, State: notifier.StateUnknown}, event.Booker: {Version: 1, Resend: 10, State: notifier.StateHeld}},
			two: {event.Resident: {Version: 1, State: notifier.Pending}},
		}
		for name, run := range map[string]func(context.Context, func(context.Context, *sqldb.Tx) error) error{"read": db.Read, "write": db.Write} {
			err := run(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				got, err := notifier.Looking(ctx, tx, []string{one, two, none, one})
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: %s", name, d)
				}
				return err
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got, err := notifier.Looking(t.Context(), nil, nil); err != nil || len(got) != 0 {
			t.Errorf("of nothing: %v, %v", got, err)
		}
	})
}

// A resend is another text than the first, and each is one: the number is part of what makes a message the only one.
func TestAResendIsATextOfItsOwn(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		id := uuid.NewString()
		for resend := range 3 {
			if err := lay(t.Context(), db, id, 1, event.Resident, resend, notifier.StateDelivered); err != nil {
				t.Fatalf("resend %d: %v", resend, err)
			}
		}
		for resend := range 3 {
			if err := lay(t.Context(), db, id, 1, event.Resident, resend, notifier.Pending); !sqldb.IsUnique(err) {
				t.Errorf("a second text of resend %d was taken: %v", resend, err)
			}
		}
	})
}
