package outbox_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

func TestFind(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		first, again, third, other := booked(), booked(), booked(), booked()
		for _, e := range []*event.Event{&first, &again, &third, &other} {
			e.Time = sqldb.At(e.Time).Time
		}
		again.ReservationID, third.ReservationID = first.ReservationID, first.ReservationID
		again.Resend, third.Resend, other.Resend = 1, 2, 1
		third.Recipients = []event.Recipient{event.Resident, event.Booker}
		all := []event.Event{first, again, other, third}
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return outbox.Append(ctx, tx, all) })
		if err != nil {
			t.Fatal(err)
		}
		err = db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			for _, e := range all {
				if got, found, err := outbox.ByEventID(ctx, tx, e.ID); err != nil || !found {
					t.Errorf("found %t, %v", found, err)
				} else if d := cmp.Diff(e, got); d != "" {
					t.Error(d)
				}
			}
			for _, id := range []string{uuid.NewString(), "", "no id", first.ReservationID} {
				if _, found, err := outbox.ByEventID(ctx, tx, id); err != nil || found {
					t.Errorf("%q: found %t, %v", id, found, err)
				}
			}
			for _, c := range []struct{ of, want []event.Event }{
				{nil, nil}, {[]event.Event{booked()}, nil}, {[]event.Event{first}, []event.Event{again, third}},
				{[]event.Event{other, first}, []event.Event{again, other, third}},
			} {
				var ids []string
				for _, e := range c.of {
					ids = append(ids, e.ReservationID)
				}
				got, err := outbox.Resends(ctx, tx, ids)
				if err != nil {
					return err
				}
				if d := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); d != "" {
					t.Error(d)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
