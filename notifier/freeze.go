package notifier

import (
	"context"
	"errors"
	"time"

	"ansim/schema/sqldb"
)

// Why sending is frozen.
const (
	FrozenByPerson  = "asked-for"       // somebody said so
	FrozenByHistory = "another-history" // the database is a restored backup, or a standby that was promoted
	FrozenByTopic   = "topic-is-ahead"  // Kafka holds a change that the database does not: the database is older than it was
)

// ErrNotFrozen is returned by Resume when sending runs.
var ErrNotFrozen = errors.New("sending is not frozen")

// SendingState is whether texts are sent, and since when and why not.
type SendingState struct {
	Frozen bool
	Reason string // one of FrozenBy…, "" when it was never frozen
	By     string // who said so last, "" when nobody did
	Since  time.Time
}

type sendingRow struct {
	State     string      `db:"state"`
	Reason    string      `db:"reason"`
	AskedBy   string      `db:"asked_by"`
	ChangedAt *sqldb.Time `db:"changed_at"`
	World     string      `db:"world"`
	Here      string      `db:"here"`
}

// ReadSending reads whether texts are sent.
func ReadSending(ctx context.Context, db *sqldb.DB) (s SendingState, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		row, err := sendingOf(ctx, tx, "")
		s = SendingState{Frozen: row.State == "frozen", Reason: row.Reason, By: row.AskedBy}
		if row.ChangedAt != nil {
			s.Since = row.ChangedAt.Time
		}
		return err
	})
	return s, err
}

func sendingOf(ctx context.Context, tx *sqldb.Tx, lock string) (row sendingRow, err error) {
	err = tx.Get(ctx, &row, "SELECT state, reason, asked_by, changed_at, world, "+tx.World()+" AS here FROM sending WHERE id = 1"+lock)
	return row, wrapped("read whether texts are sent", err)
}

// maySend says whether attempts may begin in tx, and why sending was frozen just now. With lock nobody freezes it until tx ends;
// without, tx is one that begins none, and writes nothing. It is asked in each transaction, and not once at the start: a
// connection may lead to a promoted standby from one statement to the next.
func maySend(ctx context.Context, tx *sqldb.Tx, lock bool) (may bool, frozen string, err error) {
	clause := ""
	if lock {
		clause = tx.ForShare()
	}
	row, err := sendingOf(ctx, tx, clause)
	if err != nil || row.State == "frozen" {
		return false, "", err
	}
	switch row.World {
	case row.Here:
		return true, "", nil
	case "": // the first look of this installation
		_, err := tx.Exec(ctx, `UPDATE sending SET world = ? WHERE id = 1 AND world = ''`, row.Here)
		return err == nil, "", wrapped("remember the database's history", err)
	}
	return false, FrozenByHistory, freeze(ctx, tx, FrozenByHistory, "")
}

// freeze stops all attempts that have not begun. It changes nothing when sending is frozen already: the first reason stands.
func freeze(ctx context.Context, tx *sqldb.Tx, reason, by string) error {
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE sending SET state = 'frozen', reason = ?, asked_by = ?, changed_at = ? WHERE id = 1 AND state = 'running'`,
		reason, by, sqldb.At(now))
	return wrapped("freeze sending", err)
}

// Freeze stops sending: when it returns, no process begins an attempt any more. Requests that are under way end as they do,
// receipts are taken, outcomes looked up, people book. by is who says so; noted writes that down in the same transaction.
func Freeze(ctx context.Context, db *sqldb.DB, by string, noted func(context.Context, *sqldb.Tx) error) error {
	return db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := freeze(ctx, tx, FrozenByPerson, by); err != nil {
			return err
		}
		return noted(ctx, tx)
	})
}
