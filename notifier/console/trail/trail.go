// Package trail is the log of what staff did and whom they looked at. It is append-only, and each entry is chained to the one
// before it by a hash, so that a row that was changed, taken out or put in shows. Whoever can rewrite the whole table and its head
// can rewrite the chain, too: to catch that, keep a head (the command `ansim audit verify` prints it) somewhere else.
//
//	entry n: seq ‖ at ‖ actor ‖ action ‖ reservation ‖ detail ‖ hash of n-1  ──SHA-256──▶ hash of n
//	head:    seq and hash of the newest entry; locked by who appends
//
// Entries name reservations by id. Names, numbers and codes of residents have no place in them.
package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"ansim/schema/sqldb"
)

// Action is what somebody set out to do: the console appends before it does. Whether it was done, or refused, the reservation's
// own story tells.
type Action string

// The actions.
const (
	SignedIn      Action = "signed-in"
	SignInFailed  Action = "sign-in-failed"
	SignedOut     Action = "signed-out"
	Searched      Action = "searched"
	Viewed        Action = "viewed"
	Resent        Action = "resent"
	Corrected     Action = "corrected"
	Cancelled     Action = "cancelled"
	Noted         Action = "noted"
	RunBegun      Action = "run-begun" // for many at once; see package bulk
	RunPaused     Action = "run-paused"
	RunContinued  Action = "run-continued"
	RunStopped    Action = "run-stopped"
	Froze         Action = "sending-frozen"
	Unfroze       Action = "sending-resumed"
	StaffAdded    Action = "staff-added"
	StaffRole     Action = "staff-role-changed"
	StaffPassword Action = "staff-password-changed"
	StaffDisabled Action = "staff-disabled"
	StaffEnabled  Action = "staff-enabled"
)

// Entry is one thing that somebody did.
type Entry struct {
	Seq         int64     // 1, 2, 3 …; set by Append
	At          time.Time // by the database's clock; set by Append
	Actor       string    // "staff:NAME" or "cli:USER"
	Action      Action
	Reservation string // its id, "" when none is concerned
	Detail      string // short, and nothing personal
}

// Append adds an entry within tx: what it tells of is committed with it, or neither is. It waits for others that append.
func Append(ctx context.Context, tx *sqldb.Tx, e Entry) error {
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO staff_trail_head (id, seq, hash) VALUES (1, 0, ?) ON CONFLICT DO NOTHING`, begin()); err != nil {
		return fmt.Errorf("begin the trail: %w", err)
	}
	h, err := head(ctx, tx, tx.ForUpdate())
	if err != nil {
		return err
	}
	e.Seq, e.At = h.Seq+1, sqldb.At(now).Time
	hash := e.hash(h.Hash)
	var reservation *string
	if e.Reservation != "" {
		reservation = &e.Reservation
	}
	if _, err := tx.Exec(ctx, `INSERT INTO staff_trail (seq, at, actor, action, reservation_id, detail, previous, hash)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, e.Seq, sqldb.At(e.At), e.Actor, string(e.Action), reservation, e.Detail, h.Hash, hash); err != nil {
		return fmt.Errorf("append to the trail: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE staff_trail_head SET seq = ?, hash = ? WHERE id = 1`, e.Seq, hash); err != nil {
		return fmt.Errorf("move the trail's head: %w", err)
	}
	return nil
}

// begin is what stands before the first entry.
func begin() []byte { sum := sha256.Sum256([]byte("ansim staff trail 1")); return sum[:] }

// hash covers every field, each after its length, so that no two entries have the same bytes.
func (e Entry) hash(previous []byte) []byte {
	h := sha256.New()
	field := func(b []byte) {
		_ = binary.Write(h, binary.BigEndian, uint64(len(b)))
		h.Write(b)
	}
	_ = binary.Write(h, binary.BigEndian, e.Seq)
	_ = binary.Write(h, binary.BigEndian, e.At.UTC().UnixMicro())
	for _, s := range []string{e.Actor, string(e.Action), e.Reservation, e.Detail} {
		field([]byte(s))
	}
	field(previous)
	return h.Sum(nil)
}

type headRow struct {
	Seq  int64  `db:"seq"`
	Hash []byte `db:"hash"`
}

func head(ctx context.Context, tx *sqldb.Tx, lock string) (h headRow, err error) {
	err = tx.Get(ctx, &h, `SELECT seq, hash FROM staff_trail_head WHERE id = 1`+lock)
	if errors.Is(err, sql.ErrNoRows) {
		return headRow{Hash: begin()}, nil
	}
	if err != nil {
		return h, fmt.Errorf("read the trail's head: %w", err)
	}
	return h, nil
}

// row is an entry as it is stored.
type row struct {
	Seq         int64      `db:"seq"`
	At          sqldb.Time `db:"at"`
	Actor       string     `db:"actor"`
	Action      string     `db:"action"`
	Reservation *string    `db:"reservation_id"`
	Detail      string     `db:"detail"`
	Previous    []byte     `db:"previous"`
	Hash        []byte     `db:"hash"`
}

func (r row) entry() Entry {
	e := Entry{Seq: r.Seq, At: r.At.Time, Actor: r.Actor, Action: Action(r.Action), Detail: r.Detail}
	if r.Reservation != nil {
		e.Reservation = *r.Reservation
	}
	return e
}

const columns = `seq, at, actor, action, reservation_id, detail, previous, hash`

// Read returns up to limit entries, newest first, older than before (0: from the newest), of one reservation, or of all for "".
func Read(ctx context.Context, db *sqldb.DB, reservation string, before int64, limit int) (entries []Entry, err error) {
	where, args := "1 = 1", []any{}
	if before > 0 {
		where, args = where+" AND seq < ?", append(args, before)
	}
	if reservation != "" {
		where, args = where+" AND reservation_id = ?", append(args, reservation)
	}
	var rows []row
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		rows = nil
		return tx.Select(ctx, &rows, "SELECT "+columns+" FROM staff_trail WHERE "+where+" ORDER BY seq DESC LIMIT ?", append(args, limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("read the trail: %w", err)
	}
	for _, r := range rows {
		entries = append(entries, r.entry())
	}
	return entries, nil
}

// Verdict is what Verify found.
type Verdict struct {
	Entries int64
	Head    string // hash of the newest entry in hex, to be kept elsewhere
	Bad     int64  // the first entry that is not as it was written, 0 when all are
	Why     string // of Bad
}

// verifyPage is how many entries are in memory at once.
const verifyPage = 1000

// Verify walks the whole chain, in one snapshot, and says where it is broken first.
func Verify(ctx context.Context, db *sqldb.DB) (v Verdict, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		v = Verdict{}
		h, err := head(ctx, tx, "")
		if err != nil {
			return err
		}
		previous := begin()
		for {
			var rows []row
			if err := tx.Select(ctx, &rows, "SELECT "+columns+" FROM staff_trail WHERE seq > ? ORDER BY seq LIMIT ?", v.Entries, verifyPage); err != nil {
				return fmt.Errorf("read the trail: %w", err)
			}
			for _, r := range rows {
				if v.Why = r.broken(v.Entries+1, previous); v.Why != "" {
					v.Bad = v.Entries + 1
					return nil
				}
				v.Entries, previous = r.Seq, r.Hash
			}
			if len(rows) < verifyPage {
				break
			}
		}
		v.Head = hex.EncodeToString(previous)
		switch {
		case v.Entries < h.Seq:
			v.Bad, v.Why = v.Entries+1, "it is missing, and so are all after it"
		case v.Entries > h.Seq || !bytes.Equal(previous, h.Hash):
			v.Bad, v.Why = v.Entries, "the head does not know it"
		}
		return nil
	})
	return v, err
}

// broken says what is wrong with r as entry n after one with the hash previous, "" when nothing is.
func (r row) broken(n int64, previous []byte) string {
	switch {
	case r.Seq != n:
		return "it is missing"
	case !bytes.Equal(r.Previous, previous):
		return "it does not follow the one before it"
	case !bytes.Equal(r.Hash, r.entry().hash(previous)):
		return "it is not as it was written"
	}
	return ""
}
