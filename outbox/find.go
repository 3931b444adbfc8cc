package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// ByEventID reads the event with this id; false when the outbox has none, as after its retention, or when id is no UUID.
func ByEventID(ctx context.Context, tx *sqldb.Tx, id string) (event.Event, bool, error) {
	if _, err := uuid.Parse(id); err != nil {
		return event.Event{}, false, nil
	}
	var r record
	err := tx.Get(ctx, &r, `SELECT `+columns+` FROM outbox o WHERE o.event_id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return event.Event{}, false, nil
	}
	if err != nil {
		return event.Event{}, false, fmt.Errorf("read an event of the outbox: %w", err)
	}
	return r.event(), true, nil
}

// Resends reads the events by which people asked for the texts of these reservations again, in the order of their ids. The
// notifier may not have taken them in yet: between the commit and its message such an event is the only trace of the wish.
func Resends(ctx context.Context, tx *sqldb.Tx, reservationIDs []string) ([]event.Event, error) {
	if len(reservationIDs) == 0 {
		return nil, nil
	}
	src, args := listed(tx, reservationIDs)
	var rs []record
	if err := tx.Select(ctx, &rs, "WITH "+src+` SELECT `+columns+` FROM outbox o
		WHERE o.reservation_id IN (SELECT src_id FROM src) AND o.resend > 0 ORDER BY o.id`, tx.Unplanned(args...)...); err != nil {
		return nil, fmt.Errorf("read the resends of the outbox: %w", err)
	}
	return eventsOf(rs), nil
}

// Written says which of these events, by their ids, the outbox has.
func Written(ctx context.Context, tx *sqldb.Tx, eventIDs []string) (map[string]bool, error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	src, args := listed(tx, eventIDs)
	var found []string
	if err := tx.Select(ctx, &found, "WITH "+src+` SELECT CAST(o.event_id AS text) FROM outbox o WHERE o.event_id IN (SELECT src_id FROM src)`,
		args...); err != nil {
		return nil, fmt.Errorf("look for events in the outbox: %w", err)
	}
	out := make(map[string]bool, len(found))
	for _, id := range found {
		out[id] = true
	}
	return out, nil
}

// Traceparents are the trace contexts of the requests that caused events, by the events' ids; those without one are left out.
func Traceparents(ctx context.Context, tx *sqldb.Tx, eventIDs []string) (map[string]string, error) {
	if len(eventIDs) == 0 {
		return nil, nil
	}
	src, args := listed(tx, eventIDs)
	var found []struct {
		ID          string `db:"event_id"`
		Traceparent string `db:"traceparent"`
	}
	if err := tx.Select(ctx, &found, "WITH "+src+` SELECT CAST(o.event_id AS text) AS event_id, o.traceparent FROM outbox o
		WHERE o.event_id IN (SELECT src_id FROM src) AND o.traceparent <> ''`, args...); err != nil {
		return nil, fmt.Errorf("read the traces of events: %w", err)
	}
	out := make(map[string]string, len(found))
	for _, f := range found {
		out[f.ID] = f.Traceparent
	}
	return out, nil
}

// listed makes ids a source of rows, src, with one column, src_id.
func listed(tx *sqldb.Tx, ids []string) (string, []any) {
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID})
	for _, id := range ids {
		rows.Add(id)
	}
	return tx.Source(rows)
}
