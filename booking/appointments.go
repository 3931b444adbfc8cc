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
	if lock {
		// In a statement of its own: FOR SHARE would also lock the joined slots, for which the bookings wait. What follows
		// sees what was committed before the lock was got.
		var locked []string
		if err := tx.Select(ctx, &locked, "WITH "+with+` SELECT id FROM reservation WHERE id IN (SELECT id FROM wanted)
			ORDER BY identity_hash, id`+tx.ForShare(), tx.Unplanned(args...)...); err != nil {
			return nil, fmt.Errorf("lock reservations: %w", err)
		}
	}
	var rows []struct {
		row
		TagKo       string `db:"tag_ko"`
		TagEn       string `db:"tag_en"`
		SiteKo      string `db:"site_ko"`
		SiteEn      string `db:"site_en"`
		ProgrammeKo string `db:"programme_ko"`
		ProgrammeEn string `db:"programme_en"`
	}
	err := tx.Select(ctx, &rows, "WITH "+with+" SELECT "+reservationColumns+`, p.tag_ko, p.tag_en,
		si.name_ko AS site_ko, si.name_en AS site_en, p.name_ko AS programme_ko, p.name_en AS programme_en`+
		reservationTables+`JOIN site si ON si.id = s.site_id WHERE r.id IN (SELECT id FROM wanted)`, tx.Unplanned(args...)...)
	if err != nil {
		return nil, fmt.Errorf("read appointments: %w", err)
	}
	found, z := make(map[string]Appointment, len(rows)), zones{}
	for i := range rows {
		r := &rows[i]
		v := r.reservation(z)
		a := Appointment{
			ReservationID: v.ID, Code: v.Code, Version: v.Version, Status: v.Status, Name: v.Name, Phone: v.Phone,
			Language: v.Language, StartsAt: v.Slot.StartsAt, TimeZone: v.TimeZone, TagKo: r.TagKo, TagEn: r.TagEn,
			SiteKo: r.SiteKo, SiteEn: r.SiteEn, ProgrammeKo: r.ProgrammeKo, ProgrammeEn: r.ProgrammeEn,
		}
		if v.Booker != nil {
			a.BookerName, a.BookerPhone = v.Booker.Name, v.Booker.Phone
		}
		found[v.ID] = a
	}
	return found, nil
}
