package booking

import (
	"context"
	"fmt"

	"ansim/schema/sqldb"
)

// pastRow is a row of reservation_history: a version that a later one replaced.
type pastRow struct {
	ReservationID string     `db:"reservation_id"`
	Version       int        `db:"version"`
	SlotID        string     `db:"slot_id"`
	SiteID        string     `db:"site_id"`
	StartsAt      sqldb.Time `db:"starts_at"`
	Name          string     `db:"name"`
	Phone         string     `db:"phone"`
	Language      string     `db:"language"`
	Since         sqldb.Time `db:"since"`
}

// history are the past versions of reservations by id and then number.
type history map[string]map[int]*pastRow

// loadHistory reads the past versions of reservations.
func loadHistory(ctx context.Context, tx *sqldb.Tx, ids map[string]bool) (history, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	wanted := sqldb.NewRows("wanted", sqldb.Column{Name: "id", Type: sqldb.UUID})
	for id := range ids {
		wanted.Add(id)
	}
	with, args := tx.Source(wanted)
	var rows []*pastRow
	if err := tx.Select(ctx, &rows, "WITH "+with+` SELECT reservation_id, version, slot_id, site_id, starts_at, name, phone, language, since
		FROM reservation_history WHERE reservation_id IN (SELECT id FROM wanted)`, args...); err != nil {
		return nil, fmt.Errorf("read past versions: %w", err)
	}
	found := history{}
	for _, r := range rows {
		if found[r.ReservationID] == nil {
			found[r.ReservationID] = map[int]*pastRow{}
		}
		found[r.ReservationID][r.Version] = r
	}
	return found, nil
}

// as is r with the name, number and language that it had in a version. r itself when that is the present one, or was not kept.
func (h history) as(r *row, version int) *row {
	p := h[r.ID][version]
	if version == r.Version || p == nil {
		return r
	}
	was := *r
	was.Name, was.Phone, was.Language = p.Name, p.Phone, p.Language
	return &was
}
