package outbox

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"ansim/schema/sqldb"
)

// beginning is a snapshot in which no transaction had happened.
const beginning = "1:1:"

// position is up to where the relay has published. On SQLite only after is used: the last id. On PostgreSQL from is the
// snapshot of which all is published; while a backlog goes out in pages, to is the snapshot that the pages lead to, and after
// the last id published of what lies between the two.
type position struct {
	from, to string
	after    int64
}

// parsePosition reads what String wrote; "" is the beginning.
func parsePosition(d sqldb.Dialect, s string) (position, error) {
	if d == sqldb.SQLite {
		if s == "" {
			return position{}, nil
		}
		id, err := strconv.ParseInt(s, 10, 64)
		if err != nil || id < 0 {
			return position{}, fmt.Errorf("the relay's position %q is not an id", s)
		}
		return position{after: id}, nil
	}
	if s == "" {
		return position{from: beginning}, nil
	}
	from, rest, paging := strings.Cut(s, "|")
	if !paging && snapshot.MatchString(from) {
		return position{from: from}, nil
	}
	to, after, _ := strings.Cut(rest, "|")
	id, err := strconv.ParseInt(after, 10, 64)
	if err != nil || id < 0 || !snapshot.MatchString(from) || !snapshot.MatchString(to) {
		return position{}, fmt.Errorf("the relay's position %q is neither a snapshot nor from|to|id", s)
	}
	return position{from: from, to: to, after: id}, nil
}

// snapshot is the form of a pg_snapshot: xmin:xmax:xip,…
var snapshot = regexp.MustCompile(`^[0-9]+:[0-9]+:([0-9]+(,[0-9]+)*)?$`)

// String is the position as the database keeps it.
func (p position) String() string {
	switch {
	case p.from == "":
		return strconv.FormatInt(p.after, 10)
	case p.to == "":
		return p.from
	default:
		return p.from + "|" + p.to + "|" + strconv.FormatInt(p.after, 10)
	}
}

// fresh is the condition for rows that are visible now and were not in the snapshot from: begun since, or under way then.
// Its parameters are from and underWay.
const fresh = `(o.txid >= pg_snapshot_xmax(CAST(? AS pg_snapshot)) OR o.txid = ANY(CAST(? AS xid8[])))`

// underWay is the array of the transactions that were under way at from. It is a parameter, and not asked of pg_snapshot_xip
// in the statement, because the planner would guess that to be ten ids of any frequency, and after a few huge transactions
// read the whole table for them; of values that it knows, it knows that they are rare.
func (p position) underWay() string {
	return "{" + p.from[strings.LastIndexByte(p.from, ':')+1:] + "}"
}

// unpublished is the condition for rows behind p, with its parameters.
func (p position) unpublished(d sqldb.Dialect) (string, []any) {
	switch {
	case d == sqldb.SQLite:
		return "o.id > ?", []any{p.after}
	case p.to == "":
		return fresh, []any{p.from, p.underWay()}
	default:
		return fresh + ` AND (o.id > ? OR NOT pg_visible_in_snapshot(o.txid, CAST(? AS pg_snapshot)))`,
			[]any{p.from, p.underWay(), p.after, p.to}
	}
}

// quiet says that certainly nothing was committed behind p, at a small part of the cost of a read: on PostgreSQL when the
// snapshot is the very same (other tables' transactions change it, too).
func quiet(ctx context.Context, db *sqldb.DB, p position) (bool, error) {
	if db.Dialect() == sqldb.SQLite {
		var last int64
		err := db.Peek(ctx, &last, `SELECT COALESCE(MAX(id), 0) FROM outbox`)
		return last <= p.after, err
	}
	var now string
	err := db.Peek(ctx, &now, `SELECT CAST(pg_current_snapshot() AS text)`)
	return p.to == "" && now == p.from, err
}

// readBehind returns at most limit rows behind p, in order, and the position behind them. It is one statement, so that a look
// costs one round trip.
func readBehind(ctx context.Context, db *sqldb.DB, p position, limit int) (rs []record, next position, err error) {
	switch {
	case db.Dialect() == sqldb.SQLite:
		rs, next, err = readNext(ctx, db, p, limit)
	case p.to != "":
		rs, next, err = readPage(ctx, db, p, limit)
	default:
		rs, next, err = readDiff(ctx, db, p, limit)
	}
	if err != nil {
		return nil, p, err
	}
	return rs, next, nil
}

// readNext reads rows by id, which is the order in which SQLite commits.
func readNext(ctx context.Context, db *sqldb.DB, p position, limit int) ([]record, position, error) {
	rs, err := readRecords(ctx, db, `SELECT `+columns+` FROM outbox o WHERE o.id > ? ORDER BY o.id LIMIT ?`, p.after, limit)
	if n := len(rs); n > 0 {
		p.after = rs[n-1].ID
	}
	return rs, p, err
}

func readRecords(ctx context.Context, db *sqldb.DB, query string, args ...any) (rs []record, err error) {
	err = db.PeekEach(ctx, func(row sqldb.Row) error {
		rs = append(rs, record{})
		return row.StructScan(&rs[len(rs)-1])
	}, query, args...)
	return rs, err
}

// diffQuery gives the snapshot of now and the first rows that are visible in it and were not in another, or NULLs. Its
// parameters are that other snapshot, what was under way in it, and a limit. The order is by an expression, so that no plan can
// walk the primary key from the first row of the table to find it.
const diffQuery = `SELECT s.now, ` + columns + ` FROM (SELECT CAST(pg_current_snapshot() AS text) AS now) s
	LEFT JOIN LATERAL (
		SELECT ` + columns + ` FROM (
			SELECT ` + columns + ` FROM outbox o
			WHERE o.txid >= pg_snapshot_xmax(CAST(? AS pg_snapshot)) AND o.txid < pg_snapshot_xmax(pg_current_snapshot())
			UNION ALL
			SELECT ` + columns + ` FROM outbox o WHERE o.txid = ANY(CAST(? AS xid8[]))
		) o ORDER BY o.id + 0 LIMIT ?
	) o ON true ORDER BY o.id`

// readDiff reads what is visible now and was not at p, and the snapshot of now, in one statement. When that is more than
// limit, the position behind the first limit rows remembers the snapshot that they were read from: to advance to it now would
// lose the rest.
func readDiff(ctx context.Context, db *sqldb.DB, p position, limit int) ([]record, position, error) {
	var rs []record
	var now string
	err := db.PeekEach(ctx, func(row sqldb.Row) error {
		var r struct {
			id, version, resend                            *int64
			eventID, typ, reservationID, recipients, trace *string
			at                                             *sqldb.Time
		}
		if err := row.Scan(&now, &r.id, &r.eventID, &r.typ, &r.reservationID, &r.version, &r.recipients, &r.resend, &r.at,
			&r.trace); err != nil {
			return err
		}
		if r.id != nil { // else there is nothing new
			rs = append(rs, record{ID: *r.id, EventID: *r.eventID, Type: *r.typ, ReservationID: *r.reservationID, Version: int(*r.version),
				Recipients: *r.recipients, Resend: int(*r.resend), CreatedAt: *r.at, Traceparent: *r.trace})
		}
		return nil
	}, diffQuery, db.Unplanned(p.from, p.underWay(), limit+1)...)
	if err != nil || len(rs) <= limit {
		return rs, position{from: now}, err
	}
	rs = rs[:limit]
	return rs, position{from: p.from, to: now, after: rs[limit-1].ID}, nil
}

// pageQuery gives rows behind an id that are visible in one snapshot and were not in another.
const pageQuery = `SELECT ` + columns + ` FROM outbox o
	WHERE o.id > ? AND pg_visible_in_snapshot(o.txid, CAST(? AS pg_snapshot))
	AND NOT pg_visible_in_snapshot(o.txid, CAST(? AS pg_snapshot)) ORDER BY o.id LIMIT ?`

// readPage reads the next page of a backlog: what lies between the two snapshots, behind an id. The read begins at that id, and
// most of what follows belongs to the backlog, so a page costs what it holds.
func readPage(ctx context.Context, db *sqldb.DB, p position, limit int) ([]record, position, error) {
	rs, err := readRecords(ctx, db, pageQuery, db.Unplanned(p.after, p.to, p.from, limit)...)
	if err != nil || len(rs) < limit {
		return rs, position{from: p.to}, err
	}
	return rs, position{from: p.from, to: p.to, after: rs[len(rs)-1].ID}, nil
}
