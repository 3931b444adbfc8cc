package booking

import (
	"context"
	"fmt"
	"time"

	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

// Appointment is what a text about a reservation says, and to whom.
type Appointment struct {
	ReservationID string
	Code          string // without its dash
	Version       int
	Status        string
	Name          personal.Name
	BookerName    personal.Name // "" when the resident booked
	Phone         personal.Phone
	BookerPhone   personal.Phone
	Language      string
	StartsAt      time.Time // in the programme's zone
	TimeZone      string
	TagKo         string
	TagEn         string
	SiteKo        string
	SiteEn        string
	ProgrammeKo   string
	ProgrammeEn   string
	// PastPhones are the resident's numbers in versions that were replaced, where they were others than Phone. Only
	// Appointments without lock reads them.
	PastPhones map[int]personal.Phone
}

// Appointments reads many at once, by reservation id; ids without a reservation are left out. With lock their rows are held
// FOR SHARE until tx ends, so that no cancel or change commits before the texts' attempts do; they are locked in the order
// of identity hashes, as everywhere. Without lock tx may be one that only reads.
func Appointments(ctx context.Context, tx *sqldb.Tx, ids []string, lock bool) (map[string]Appointment, error) {
	wanted := sqldb.NewRows("wanted", sqldb.Column{Name: "id", Type: sqldb.UUID})
	for _, id := range ids {
		if id, ok := parseID(id); ok {
			wanted.Add(id)
		}
	}
	if wanted.Len() == 0 {
		return map[string]Appointment{}, nil
	}
	with, args := tx.Source(wanted)
	lockWith := ""
	if lock {
		// Only the reservations: FOR SHARE of a join would also lock the slots, for which the bookings wait.
		lockWith = tx.ForShare()
	}
	var rows []row
	if err := tx.Select(ctx, &rows, "WITH "+with+" SELECT "+ownColumns+` FROM reservation r WHERE r.id IN (SELECT id FROM wanted)
		ORDER BY r.identity_hash, r.id`+lockWith, args...); err != nil {
		return nil, fmt.Errorf("read reservations: %w", err)
	}
	places, err := loadPlaces(ctx, tx, rows)
	if err != nil {
		return nil, err
	}
	changed := map[string]bool{}
	for i := range rows {
		if rows[i].Version > 1 {
			changed[rows[i].ID] = true
		}
	}
	past, err := loadHistory(ctx, tx, changed)
	if err != nil {
		return nil, err
	}
	found, z := make(map[string]Appointment, len(rows)), zones{}
	for i := range rows {
		r := &rows[i]
		at := places[r.SlotID]
		r.StartsAt, r.TimeZone = at.StartsAt, at.TimeZone
		v := r.reservation(z)
		a := Appointment{
			ReservationID: v.ID, Code: v.Code, Version: v.Version, Status: v.Status, Name: v.Name, Phone: v.Phone,
			Language: v.Language, StartsAt: v.Slot.StartsAt, TimeZone: v.TimeZone, TagKo: at.TagKo, TagEn: at.TagEn,
			SiteKo: at.SiteKo, SiteEn: at.SiteEn, ProgrammeKo: at.ProgrammeKo, ProgrammeEn: at.ProgrammeEn,
		}
		if v.Booker != nil {
			a.BookerName, a.BookerPhone = v.Booker.Name, v.Booker.Phone
		}
		for version, p := range past[v.ID] {
			if p.Phone != r.Phone {
				if a.PastPhones == nil {
					a.PastPhones = map[int]personal.Phone{}
				}
				a.PastPhones[version] = personal.Phone(p.Phone)
			}
		}
		found[v.ID] = a
	}
	return found, nil
}

// place is what a slot's site and programme are called.
type place struct {
	SlotID      string     `db:"slot_id"`
	StartsAt    sqldb.Time `db:"starts_at"`
	TimeZone    string     `db:"time_zone"`
	TagKo       string     `db:"tag_ko"`
	TagEn       string     `db:"tag_en"`
	SiteKo      string     `db:"site_ko"`
	SiteEn      string     `db:"site_en"`
	ProgrammeKo string     `db:"programme_ko"`
	ProgrammeEn string     `db:"programme_en"`
}

// loadPlaces reads the slots of reservations, each once: many share one. It comes after the reservations are locked, so that
// a reservation that was moved meanwhile is read with its new slot.
func loadPlaces(ctx context.Context, tx *sqldb.Tx, rs []row) (map[string]place, error) {
	wanted, seen := sqldb.NewRows("wanted", sqldb.Column{Name: "id", Type: sqldb.Text}), map[string]bool{}
	for i := range rs {
		if id := rs[i].SlotID; !seen[id] {
			seen[id] = true
			wanted.Add(id)
		}
	}
	out := make(map[string]place, len(seen))
	if wanted.Len() == 0 {
		return out, nil
	}
	with, args := tx.Source(wanted)
	var places []place
	err := tx.Select(ctx, &places, "WITH "+with+` SELECT s.id AS slot_id, s.starts_at, p.time_zone, p.tag_ko, p.tag_en,
		si.name_ko AS site_ko, si.name_en AS site_en, p.name_ko AS programme_ko, p.name_en AS programme_en
		FROM wanted w JOIN slot s ON s.id = w.id JOIN programme p ON p.id = s.programme_id JOIN site si ON si.id = s.site_id`,
		args...)
	if err != nil {
		return nil, fmt.Errorf("read slots: %w", err)
	}
	for _, p := range places {
		out[p.SlotID] = p
	}
	return out, nil
}
