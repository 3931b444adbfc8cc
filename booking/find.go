package booking

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"ansim/schema/sqldb"
)

// Find returns reservations, whichever client's, for staff: those whose code, number (the resident's or that of who booked, in any
// form), name or reference the words are, newest first, at most limit. Words that can be several of these are looked for as each.
func Find(ctx context.Context, db *sqldb.DB, words string, limit int) ([]Appointed, error) {
	// Each kind is a search of an index by itself, bounded: a name may be thousands of people's.
	var parts []string
	var args []any
	or := func(column, value string) {
		parts = append(parts, "SELECT id FROM (SELECT id FROM reservation WHERE "+column+" = ? LIMIT ?) AS by_"+column)
		args = append(args, value, findMost)
	}
	if code, err := ParseCode(words); err == nil {
		or("code", code)
	}
	if phone, err := NormalizePhone(words); err == nil {
		or("phone", phone.Reveal())
		or("booker_phone", phone.Reveal())
	}
	if name, err := NormalizeName(words); err == nil {
		or("name", name.Reveal())
	}
	if reference, err := NormalizeReference(words); err == nil && reference != "" {
		or("reference", reference)
	}
	if len(parts) == 0 {
		return nil, nil
	}
	found, err := appointed(ctx, db, limit, "r.id IN ("+strings.Join(parts, " UNION ")+")", args...)
	if err != nil {
		return nil, fmt.Errorf("find reservations: %w", err)
	}
	return found, nil
}

// findMost is the most reservations of one kind among which Find takes the newest.
const findMost = 500

// Look returns the reservation with that id, whichever client's, for staff. ErrNotFound when there is none.
func Look(ctx context.Context, db *sqldb.DB, id string) (Appointed, error) {
	id, ok := parseID(id)
	if !ok {
		return Appointed{}, ErrNotFound
	}
	found, err := appointed(ctx, db, 1, `r.id = ?`, id)
	if err != nil {
		return Appointed{}, fmt.Errorf("read a reservation: %w", err)
	}
	if len(found) == 0 {
		return Appointed{}, ErrNotFound
	}
	return found[0], nil
}

// OfSlot returns the ids of the active reservations of a slot, for staff: at most limit, in their order, from the one after the id
// after ("" for the first).
func OfSlot(ctx context.Context, db *sqldb.DB, slotID, after string, limit int) (ids []string, err error) {
	if after == "" {
		after = uuid.Nil.String()
	}
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		ids = nil
		return tx.Select(ctx, &ids, `SELECT id FROM reservation WHERE slot_id = ? AND status = 'confirmed' AND id > ? ORDER BY id LIMIT ?`, slotID, after, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read the reservations of a slot: %w", err)
	}
	return ids, nil
}

// Taken is how many places are taken now, in all slots together.
func Taken(ctx context.Context, db *sqldb.DB) (n int64, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Get(ctx, &n, `SELECT CAST(COALESCE(SUM(taken), 0) AS bigint) FROM slot`)
	})
	if err != nil {
		return 0, fmt.Errorf("count the places taken: %w", err)
	}
	return n, nil
}

// CommonZone is the zone that all programmes are in, for what is not about a single one of them; UTC when they are in several, or
// there is none.
func CommonZone(ctx context.Context, db *sqldb.DB) (*time.Location, error) {
	var names []string
	err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		names = nil
		return tx.Select(ctx, &names, `SELECT DISTINCT time_zone FROM programme LIMIT 2`)
	})
	if err != nil {
		return nil, fmt.Errorf("read the programmes' zones: %w", err)
	}
	if len(names) != 1 {
		return time.UTC, nil
	}
	return zones{}.location(names[0]), nil
}
