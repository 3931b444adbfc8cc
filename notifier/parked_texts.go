package notifier

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// parkedText is a row of message that is held or failed.
type parkedText struct {
	ID            string          `db:"id"`
	ReservationID string          `db:"reservation_id"`
	Version       int             `db:"version"`
	Recipient     event.Recipient `db:"recipient"`
	Resend        int             `db:"resend"`
	Reason        string          `db:"reason"`
	Attempts      int             `db:"attempts"`
	UpdatedAt     sqldb.Time      `db:"updated_at"`
}

// person names who a text of a version is for. Resends count for each reservation's version, whatever the kind of text.
type person struct {
	reservation string
	version     int
	recipient   event.Recipient
}

// readParkedTexts reads a page of held and failed texts behind an id, with what they are now.
//
// It walks along the queue, in which they stand for somebody to decide; the message table has no index on the state on
// purpose: one would make every change of a message write to all indexes.
func (p *Parked) readParkedTexts(ctx context.Context, tx *sqldb.Tx, sel Selection, after string, limit int) ([]ParkedItem, error) {
	where, args := `m.state IN ('held', 'failed') AND m.id > ?`, []any{after}
	if sel.ID != "" {
		id, err := uuid.Parse(sel.ID)
		if err != nil {
			return nil, nil // the id of an event, or of nothing
		}
		where, args = where+` AND m.id = ?`, append(args, id.String())
	}
	if sel.Cause != "" {
		where, args = where+` AND m.reason = ?`, append(args, sel.Cause)
	}
	var ts []parkedText
	err := tx.Select(ctx, &ts, `SELECT m.id, m.reservation_id, m.version, m.recipient, m.resend, m.reason, m.attempts, m.updated_at
		FROM message_queue q JOIN message m ON m.id = q.message_id WHERE q.job = 'person' AND `+where+` ORDER BY m.id LIMIT ?`, tx.Unplanned(append(args, limit)...)...)
	if err != nil || len(ts) == 0 {
		return nil, err
	}
	return p.judge(ctx, tx, ts)
}

// judge finds out what became of texts since they were parked.
func (p *Parked) judge(ctx context.Context, tx *sqldb.Tx, ts []parkedText) ([]ParkedItem, error) {
	now, err := tx.Now(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, t := range ts {
		ids = append(ids, t.ReservationID)
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	asked, err := lastResends(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	book, err := p.Directory(ctx, tx, ids, false)
	if err != nil {
		return nil, err
	}
	unproven, err := unprovenAttempts(ctx, tx, ts)
	if err != nil {
		return nil, err
	}
	items := make([]ParkedItem, 0, len(ts))
	for _, t := range ts {
		it := ParkedItem{Kind: ParkedTexts, ID: t.ID, Cause: t.Reason, Since: t.UpdatedAt.Time, ReservationID: t.ReservationID,
			Version: t.Version, Recipient: t.Recipient, Resend: t.Resend, Permanent: p.Permanent != nil && p.Permanent(t.Reason),
			MayHaveArrived: unproven[t.ID] || t.Reason == ReasonAnswerLost || t.Reason == ReasonLookupFailed}
		a, exists := book[t.ReservationID]
		it.Standing = t.standing(a, exists, asked[person{t.ReservationID, t.Version, t.Recipient}], now)
		items = append(items, it)
	}
	return items, nil
}

// standing is what t is to people, given its reservation and the highest number by which its person asked for it again.
func (t parkedText) standing(a Appointment, exists bool, asked int, now time.Time) Standing {
	switch {
	case !exists:
		return StandingOrphan
	case asked > t.Resend:
		return StandingSentAgain
	case a.Version > t.Version:
		return StandingSuperseded
	case !now.Before(a.StartsAt):
		return StandingPast
	}
	return StandingOpen
}

// lastResends is the highest resend number for each person whose texts these reservations' are. A wish that was committed
// shows in the outbox before it shows as a message: without the outbox a redrive that is repeated at once would double it.
func lastResends(ctx context.Context, tx *sqldb.Tx, reservationIDs []string) (map[person]int, error) {
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID})
	for _, id := range reservationIDs {
		rows.Add(id)
	}
	src, args := tx.Source(rows)
	var ts []parkedText
	err := tx.Select(ctx, &ts, "WITH "+src+` SELECT reservation_id, version, recipient, resend FROM message
		WHERE reservation_id IN (SELECT src_id FROM src) AND resend > 0`, tx.Unplanned(args...)...)
	if err != nil {
		return nil, fmt.Errorf("read later texts: %w", err)
	}
	last := map[person]int{}
	for _, t := range ts {
		k := person{t.ReservationID, t.Version, t.Recipient}
		last[k] = max(last[k], t.Resend)
	}
	events, err := outbox.Resends(ctx, tx, reservationIDs)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		for _, r := range e.Recipients {
			k := person{e.ReservationID, e.Version, r}
			last[k] = max(last[k], e.Resend)
		}
	}
	return last, nil
}

// unprovenPage bounds how many attempts one statement asks for, as SQLite takes 32,766 parameters.
const unprovenPage = 5000

// unprovenAttempts are the ids of texts one of whose attempts may have reached the provider without our knowing: also a text
// that failed for another reason may have arrived by an earlier attempt. Attempts are asked for by both columns of their
// index, for the planner's sake.
func unprovenAttempts(ctx context.Context, tx *sqldb.Tx, ts []parkedText) (map[string]bool, error) {
	var wanted []attemptKey
	for _, t := range ts {
		for n := 1; n <= t.Attempts; n++ {
			wanted = append(wanted, attemptKey{t.ID, n})
		}
	}
	found := map[string]bool{}
	for keys := range slices.Chunk(wanted, unprovenPage) {
		rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID}, sqldb.Column{Name: "src_n", Type: sqldb.Int})
		for _, k := range keys {
			rows.Add(k.message, k.n)
		}
		src, args := tx.Source(rows)
		var ids []string
		if err := tx.Select(ctx, &ids, "WITH "+src+` SELECT message_id FROM src JOIN attempt ON message_id = src_id AND n = src_n
			WHERE state IN ('open', 'unknown')`, tx.Unplanned(args...)...); err != nil {
			return nil, fmt.Errorf("read attempts of unknown outcome: %w", err)
		}
		for _, id := range ids {
			found[id] = true
		}
	}
	return found, nil
}
