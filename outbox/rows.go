package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// appendAtOnce is how many events one statement inserts. SQLite takes 32,766 parameters, and a row has nine.
const appendAtOnce = 1000

func appendRows(ctx context.Context, tx *sqldb.Tx, events []event.Event) error {
	for piece := range slices.Chunk(events, appendAtOnce) {
		if err := appendPiece(ctx, tx, piece); err != nil {
			return fmt.Errorf("append to the outbox: %w", err)
		}
	}
	return nil
}

// appendPiece inserts events in one statement. Its ORDER BY is what makes ids follow the order of the slice: both databases
// take the id of a row after the sort.
func appendPiece(ctx context.Context, tx *sqldb.Tx, events []event.Event) error {
	rows := sqldb.NewRows("src", sqldb.Column{Name: "ordinal", Type: sqldb.Int}, sqldb.Column{Name: "event_id", Type: sqldb.UUID},
		sqldb.Column{Name: "type", Type: sqldb.Text}, sqldb.Column{Name: "reservation_id", Type: sqldb.UUID},
		sqldb.Column{Name: "version", Type: sqldb.Int}, sqldb.Column{Name: "recipients", Type: sqldb.Text},
		sqldb.Column{Name: "resend", Type: sqldb.Int}, sqldb.Column{Name: "created_at", Type: sqldb.Timestamp},
		sqldb.Column{Name: "traceparent", Type: sqldb.Text})
	for i, e := range events {
		names := make([]string, len(e.Recipients))
		for j, r := range e.Recipients {
			names[j] = string(r)
		}
		rows.Add(i, e.ID, string(e.Type), e.ReservationID, e.Version, strings.Join(names, ","), e.Resend, sqldb.At(e.Time), e.Traceparent)
	}
	src, args := tx.Source(rows)
	_, err := tx.Exec(ctx, "WITH "+src+` INSERT INTO outbox (event_id, type, reservation_id, version, recipients, resend,
		created_at, traceparent)
		SELECT event_id, type, reservation_id, version, recipients, resend, created_at, traceparent FROM src ORDER BY ordinal`, args...)
	return err
}

// columns are what a record needs.
const columns = `o.id, o.event_id, o.type, o.reservation_id, o.version, o.recipients, o.resend, o.created_at, o.traceparent`

// record is one row of the outbox.
type record struct {
	ID            int64      `db:"id"`
	EventID       string     `db:"event_id"`
	Type          string     `db:"type"`
	ReservationID string     `db:"reservation_id"`
	Version       int        `db:"version"`
	Recipients    string     `db:"recipients"`
	Resend        int        `db:"resend"`
	CreatedAt     sqldb.Time `db:"created_at"`
	Traceparent   string     `db:"traceparent"`
	Txid          string     `db:"txid"` // of Settled on PostgreSQL
}

func (r record) event() event.Event {
	e := event.Event{ID: r.EventID, Type: event.Type(r.Type), ReservationID: r.ReservationID, Version: r.Version,
		Resend: r.Resend, Time: r.CreatedAt.Time, Traceparent: r.Traceparent}
	for name := range strings.SplitSeq(r.Recipients, ",") {
		e.Recipients = append(e.Recipients, event.Recipient(name))
	}
	return e
}

func eventsOf(rs []record) []event.Event {
	es := make([]event.Event, len(rs))
	for i, r := range rs {
		es[i] = r.event()
	}
	return es
}

// Settled reads at most limit events of the outbox that stand behind position after, in an order in which none can appear
// behind a position that was returned, up to the first that was made at olderThan or later. The first position is "". It
// returns the position behind the last event, which is after itself when there is none.
//
// On SQLite the order is that of ids, which is commit order. On PostgreSQL an open transaction may hold a lower id than one
// that is committed, whichever of the two began first, so a position by id could pass a row that is yet to appear. The order
// there is by transaction id, as far as the oldest transaction that is still open: below that one all are over, and none can
// begin. So the sweeper waits behind an open transaction (of any database of the server), which a healer may do, and skips
// nothing. Of one reservation a later change may come before an earlier one, when its transaction began first.
func Settled(ctx context.Context, tx *sqldb.Tx, after string, olderThan time.Time, limit int) ([]event.Event, string, error) {
	return behind(ctx, tx, after, olderThan, limit, ` AND o.txid < pg_snapshot_xmin(pg_current_snapshot())`)
}

// Visible is Settled without waiting behind open transactions: all that is committed behind position after. More may appear
// behind the position that it returns, so that is for going on with in the same transaction, not for keeping.
func Visible(ctx context.Context, tx *sqldb.Tx, after string, limit int) ([]event.Event, string, error) {
	return behind(ctx, tx, after, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), limit, "")
}

// behind reads events behind a position, on PostgreSQL those that also meet the condition and.
func behind(ctx context.Context, tx *sqldb.Tx, after string, olderThan time.Time, limit int, and string) ([]event.Event, string, error) {
	var rs []record
	var err error
	if tx.Dialect() == sqldb.SQLite {
		rs, err = behindID(ctx, tx, after, limit)
	} else {
		rs, err = behindTxid(ctx, tx, after, limit, and)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the outbox: %w", err)
	}
	bound := sqldb.At(olderThan).Time // as coarse as the rows are
	if young := slices.IndexFunc(rs, func(r record) bool { return !r.CreatedAt.Before(bound) }); young >= 0 {
		rs = rs[:young]
	}
	if len(rs) == 0 {
		return nil, after, nil
	}
	last := rs[len(rs)-1]
	next := strconv.FormatInt(last.ID, 10)
	if tx.Dialect() == sqldb.Postgres {
		next = last.Txid + ":" + next
	}
	return eventsOf(rs), next, nil
}

func behindID(ctx context.Context, tx *sqldb.Tx, after string, limit int) (rs []record, err error) {
	var last int64
	if after != "" {
		if last, err = strconv.ParseInt(after, 10, 64); err != nil {
			return nil, fmt.Errorf("position %q is not an id", after)
		}
	}
	err = tx.Select(ctx, &rs, `SELECT `+columns+`, '' AS txid FROM outbox o WHERE o.id > ? ORDER BY o.id LIMIT ?`, last, limit)
	return rs, err
}

// behindTxid begins at the beginning when the position is of a transaction that is yet to come: it was stored by another
// database, whose dump was restored here (see restored).
func behindTxid(ctx context.Context, tx *sqldb.Tx, after string, limit int, and string) (rs []record, err error) {
	txid, id := "0", "0"
	if after != "" {
		if txid, id, err = parseSettled(after); err != nil {
			return nil, err
		}
		var foreign bool
		err = tx.Get(ctx, &foreign, `SELECT CAST(? AS xid8) >= pg_snapshot_xmax(pg_current_snapshot())`, tx.Unplanned(txid)...)
		if err != nil {
			return nil, err
		}
		if foreign {
			txid, id = "0", "0"
		}
	}
	err = tx.Select(ctx, &rs, `SELECT `+columns+`, CAST(o.txid AS text) AS txid FROM outbox o
		WHERE (o.txid, o.id) > (CAST(? AS xid8), CAST(? AS bigint))`+and+`
		ORDER BY o.txid, o.id LIMIT ?`, tx.Unplanned(txid, id, limit)...)
	return rs, err
}

// Further is the one of two positions of Settled that stands behind more.
func Further(a, b string) string {
	number := func(s string) (n [2]uint64) { // txid and id, or an id alone; nothing for ""
		first, second, _ := strings.Cut(s, ":")
		n[0], _ = strconv.ParseUint(first, 10, 64)
		n[1], _ = strconv.ParseUint(second, 10, 64)
		return n
	}
	x, y := number(a), number(b)
	if x[0] > y[0] || x[0] == y[0] && x[1] > y[1] {
		return a
	}
	return b
}

// parseSettled reads a position of Settled, as it is on PostgreSQL.
func parseSettled(position string) (txid, id string, err error) {
	txid, id, ok := strings.Cut(position, ":")
	if !ok {
		return "", "", fmt.Errorf("position %q is not txid:id", position)
	}
	return txid, id, nil
}

// Backlog counts what the relay has not published, and tells when the oldest of it was made (zero when there is none).
func Backlog(ctx context.Context, db *sqldb.DB) (rows int64, oldest time.Time, err error) {
	var found struct {
		Count  int64       `db:"count"`
		Oldest *sqldb.Time `db:"oldest"`
	}
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var stored string
		err := tx.Get(ctx, &stored, `SELECT position FROM outbox_relay WHERE shard = ?`, shard)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		pos, err := parsePosition(tx.Dialect(), stored)
		if err != nil {
			return err
		}
		where, args := pos.unpublished(tx.Dialect())
		// The oldest is the first by id: its time is read alone, so that the count needs nothing but the index.
		return tx.Get(ctx, &found, `SELECT w.count, (SELECT created_at FROM outbox WHERE id = w.first) AS oldest
			FROM (SELECT COUNT(*) AS count, MIN(o.id) AS first FROM outbox o WHERE `+where+`) w`, tx.Unplanned(args...)...)
	})
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count the outbox's backlog: %w", err)
	}
	if found.Oldest != nil {
		oldest = found.Oldest.Time
	}
	return found.Count, oldest, nil
}
