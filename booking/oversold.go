package booking

import (
	"context"
	"fmt"

	"ansim/schema/sqldb"
)

// OversoldLook goes through the slots that have not begun and counts those with more reservations than places. The tables' own
// constraint makes that impossible; this counts the reservations themselves, for a figure that somebody watches. It goes a part
// at a time, so that each look costs the same however many people have booked.
type OversoldLook struct {
	db    *sqldb.DB
	after string // the slot where the next look goes on, by id
	found int64  // on this tour
	last  int64  // on the last whole tour
}

// Of one look: it ends with the slot that makes the first of these be exceeded, and after as many slots as the second.
const (
	oversoldPlaces = 20_000
	oversoldSlots  = 2_000
)

// NewOversoldLook begins a tour.
func NewOversoldLook(db *sqldb.DB) *OversoldLook { return &OversoldLook{db: db} }

// Look goes on, and returns how many oversold slots there were on the last tour or, if they are more, so far on this one. An error
// leaves it where it was.
func (o *OversoldLook) Look(ctx context.Context) (slots int64, err error) {
	var seen []struct {
		ID       string `db:"id"`
		Oversold bool   `db:"oversold"`
	}
	err = o.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		seen = nil
		return tx.Select(ctx, &seen, `SELECT s.id,
				s.capacity < (SELECT COUNT(*) FROM reservation r WHERE r.slot_id = s.id AND r.status = 'confirmed') AS oversold
			FROM (SELECT id, capacity, SUM(taken) OVER (ORDER BY id) - taken AS before FROM
				(SELECT id, capacity, taken FROM slot WHERE id > ? AND starts_at > ? ORDER BY id LIMIT ?) part) s
			WHERE s.before < ? ORDER BY s.id`, o.after, sqldb.At(now), oversoldSlots, oversoldPlaces)
	})
	if err != nil {
		return 0, fmt.Errorf("count oversold slots: %w", err)
	}
	for _, s := range seen {
		o.after = s.ID
		if s.Oversold {
			o.found++
		}
	}
	if len(seen) == 0 {
		o.last, o.found, o.after = o.found, 0, ""
	}
	return max(o.last, o.found), nil
}
