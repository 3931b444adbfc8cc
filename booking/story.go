package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// Version is a reservation as it was from one change to the next.
type Version struct {
	Number int
	Since  time.Time // when it was committed, in the programme's zone
	Status string
	Slot   Slot
	// Corrected says that the resident's name, number or language are others than in the version before.
	Corrected bool
}

// AskedAgain is somebody's request to send texts of a version once more.
type AskedAgain struct {
	At         time.Time
	Version    int
	Number     int // within the version, from 1
	Recipients []event.Recipient
	Reason     string // in the asking person's words
	By         string // see ResendOrder
}

// Story is what a reservation went through, oldest first.
type Story struct {
	Versions []Version
	Asked    []AskedAgain
	Zone     *time.Location // the programme's
}

// ReadStory reads the story of a reservation within tx. ErrNotFound when there is none.
func ReadStory(ctx context.Context, tx *sqldb.Tx, id string) (Story, error) {
	id, ok := parseID(id)
	if !ok {
		return Story{}, ErrNotFound
	}
	var r row
	err := tx.Get(ctx, &r, "SELECT "+reservationColumns+reservationTables+"WHERE r.id = ?", id)
	if errors.Is(err, sql.ErrNoRows) {
		return Story{}, ErrNotFound
	}
	if err != nil {
		return Story{}, fmt.Errorf("read a reservation: %w", err)
	}
	past, err := loadHistory(ctx, tx, map[string]bool{id: true})
	if err != nil {
		return Story{}, err
	}
	s := Story{Zone: zones{}.location(r.TimeZone)}
	s.Versions = versionsOf(&r, past[id], s.Zone)
	s.Asked, err = readAsked(ctx, tx, id, s.Zone)
	return s, err
}

// versionsOf lines up what is known of r's versions. Of a reservation that was cancelled before past versions were kept, the first
// is told from the row.
func versionsOf(r *row, past map[int]*pastRow, zone *time.Location) []Version {
	var all []Version
	var before *pastRow
	add := func(p *pastRow, status string) {
		all = append(all, Version{Number: p.Version, Since: p.Since.In(zone), Status: status,
			Slot:      Slot{ID: p.SlotID, SiteID: p.SiteID, StartsAt: p.StartsAt.In(zone)},
			Corrected: before != nil && (before.Name != p.Name || before.Phone != p.Phone || before.Language != p.Language)})
		before = p
	}
	now := &pastRow{Version: r.Version, SlotID: r.SlotID, SiteID: r.SiteID, StartsAt: r.StartsAt, Name: r.Name, Phone: r.Phone,
		Language: r.Language, Since: r.Updated}
	for n := 1; n < r.Version; n++ {
		p := past[n]
		if p == nil && n == 1 {
			first := *now
			first.Version, first.Since = 1, r.Created
			p = &first
		}
		if p != nil {
			add(p, StatusConfirmed)
		}
	}
	add(now, r.Status)
	return all
}

func readAsked(ctx context.Context, tx *sqldb.Tx, id string, zone *time.Location) ([]AskedAgain, error) {
	var rows []struct {
		Version    int        `db:"version"`
		Number     int        `db:"number"`
		Recipients string     `db:"recipients"`
		Reason     string     `db:"reason"`
		By         string     `db:"requested_by"`
		Created    sqldb.Time `db:"created_at"`
	}
	if err := tx.Select(ctx, &rows, `SELECT version, number, recipients, reason, requested_by, created_at FROM resend
		WHERE reservation_id = ? ORDER BY version, number`, id); err != nil {
		return nil, fmt.Errorf("read resends: %w", err)
	}
	var all []AskedAgain
	for _, r := range rows {
		a := AskedAgain{At: r.Created.In(zone), Version: r.Version, Number: r.Number, Reason: r.Reason, By: r.By}
		for to := range strings.SplitSeq(r.Recipients, ",") {
			a.Recipients = append(a.Recipients, event.Recipient(to))
		}
		all = append(all, a)
	}
	return all, nil
}
