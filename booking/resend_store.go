package booking

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// resendRow is a row of the table resend.
type resendRow struct {
	eventID, reservationID string
	version, number        int
	recipients             []event.Recipient
	reason, by             string
	whileUnknown           bool
	created                sqldb.Time
}

// sentTo is SQL for the number of the newest resend in x to a recipient.
func sentTo(r event.Recipient) string {
	return "MAX(CASE WHEN x.recipients LIKE '%" + string(r) + "%' THEN x.number END)"
}

// askAgain reads what decides on resends of locked reservations, and completes their rows with what is their slots'.
//
// The lock makes the look at the texts good until tx ends, though no text is locked: a sender holds the reservation FOR SHARE
// in the transaction that begins an attempt (see Appointments), so the attempt was committed before the lock was got, and is
// seen, or it begins after the resend was committed.
func askAgain(ctx context.Context, tx *sqldb.Tx, look TextLook, locked map[string]*row, now time.Time) (askedAgain, error) {
	a := askedAgain{now: now, of: make(map[string]*askedState, len(locked))}
	if len(locked) == 0 {
		return a, nil
	}
	wanted := sqldb.NewRows("wanted", sqldb.Column{Name: "id", Type: sqldb.UUID})
	ids := make([]string, 0, len(locked))
	for id := range locked {
		wanted.Add(id)
		ids = append(ids, id)
	}
	var rows []struct {
		ID       string      `db:"id"`
		SiteID   string      `db:"site_id"`
		StartsAt sqldb.Time  `db:"starts_at"`
		TimeZone string      `db:"time_zone"`
		Number   int         `db:"number"`
		Last     *sqldb.Time `db:"last"`
		Resident int         `db:"to_resident"`
		Booker   int         `db:"to_booker"`
	}
	with, args := tx.Source(wanted)
	if err := tx.Select(ctx, &rows, "WITH "+with+` SELECT r.id, s.site_id, s.starts_at, p.time_zone,
			COALESCE(MAX(x.number), 0) AS number, MAX(x.created_at) AS last,
			COALESCE(`+sentTo(event.Resident)+`, 0) AS to_resident, COALESCE(`+sentTo(event.Booker)+`, 0) AS to_booker`+
		reservationTables+`LEFT JOIN resend x ON x.reservation_id = r.id AND x.version = r.version
		WHERE r.id IN (SELECT id FROM wanted) GROUP BY r.id, s.site_id, s.starts_at, p.time_zone`,
		tx.Unplanned(args...)...); err != nil {
		return a, fmt.Errorf("read earlier resends: %w", err)
	}
	var texts map[string]map[event.Recipient]NewestText
	if look != nil {
		var err error
		if texts, err = look(ctx, tx, ids); err != nil {
			return a, fmt.Errorf("look at the texts: %w", err)
		}
	}
	for _, found := range rows {
		r := locked[found.ID]
		r.SiteID, r.StartsAt, r.TimeZone = found.SiteID, found.StartsAt, found.TimeZone
		s := &askedState{row: r, version: r.Version, number: found.Number, texts: texts[r.ID],
			caused: map[event.Recipient]int{event.Resident: found.Resident, event.Booker: found.Booker}}
		if found.Last != nil {
			s.last = *found.Last
		}
		a.of[r.ID] = s
	}
	return a, nil
}

// committedResend says whether the resend with that event is there.
func committedResend(ctx context.Context, tx *sqldb.Tx, eventID string) (bool, error) {
	var n int
	if err := tx.Get(ctx, &n, "SELECT COUNT(*) FROM resend WHERE event_id = ?", eventID); err != nil {
		return false, fmt.Errorf("look for a resend: %w", err)
	}
	return n > 0, nil
}

// insertResends inserts the rows. Their reservations are locked, so nobody else takes their numbers.
func insertResends(ctx context.Context, tx *sqldb.Tx, resends []resendRow) error {
	if len(resends) == 0 {
		return nil
	}
	col := func(name string, t sqldb.Type) sqldb.Column { return sqldb.Column{Name: name, Type: t} }
	src := sqldb.NewRows("again", col("event_id", sqldb.UUID), col("reservation_id", sqldb.UUID), col("version", sqldb.Int),
		col("number", sqldb.Int), col("recipients", sqldb.Text), col("reason", sqldb.Text), col("requested_by", sqldb.Text),
		col("while_unknown", sqldb.Int), col("created_at", sqldb.Timestamp))
	for _, r := range resends {
		names := make([]string, len(r.recipients))
		for i, to := range r.recipients {
			names[i] = string(to)
		}
		unknown := 0
		if r.whileUnknown {
			unknown = 1
		}
		src.Add(r.eventID, r.reservationID, r.version, r.number, strings.Join(names, ","), r.reason, r.by, unknown, r.created)
	}
	const columns = "event_id, reservation_id, version, number, recipients, reason, requested_by, while_unknown, created_at"
	with, args := tx.Source(src)
	if _, err := tx.Exec(ctx, "WITH "+with+" INSERT INTO resend ("+columns+") SELECT "+columns+" FROM again", args...); err != nil {
		return fmt.Errorf("write down resends: %w", err)
	}
	return nil
}
