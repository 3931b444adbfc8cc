package notifier

import (
	"context"
	"fmt"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// Newest is the newest text to one person of a reservation.
type Newest struct {
	Version int // of the reservation
	Resend  int // 0, or the number of the resend that caused it
	State   State
}

// Looking reads within tx, without locking anything, the newest text to each person of reservations: that of the highest
// version, and then of the highest resend number. Who has none is left out.
func Looking(ctx context.Context, tx *sqldb.Tx, reservationIDs []string) (map[string]map[event.Recipient]Newest, error) {
	if len(reservationIDs) == 0 {
		return nil, nil
	}
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID})
	for _, id := range reservationIDs {
		rows.Add(id)
	}
	src, args := tx.Source(rows)
	var texts []struct {
		ReservationID string          `db:"reservation_id"`
		Version       int             `db:"version"`
		Recipient     event.Recipient `db:"recipient"`
		Resend        int             `db:"resend"`
		State         State           `db:"state"`
	}
	if err := tx.Select(ctx, &texts, "WITH "+src+` SELECT reservation_id, version, recipient, resend, state FROM message
		WHERE reservation_id IN (SELECT src_id FROM src) ORDER BY version, resend`, tx.Unplanned(args...)...); err != nil {
		return nil, fmt.Errorf("look at texts: %w", err)
	}
	newest := make(map[string]map[event.Recipient]Newest, len(reservationIDs))
	for _, t := range texts {
		if newest[t.ReservationID] == nil {
			newest[t.ReservationID] = map[event.Recipient]Newest{}
		}
		newest[t.ReservationID][t.Recipient] = Newest{t.Version, t.Resend, t.State} // the last stands
	}
	return newest, nil
}
