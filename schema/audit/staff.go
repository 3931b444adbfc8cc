package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"ansim/schema/sqldb"
)

// i9 compares what staff had sent again with what the trail says that they set out to do. An entry without a resend is a click
// that was refused, or the second of two; a resend without an entry, or a second one for it, is not to be.
var i9 = invariant{
	id:       "I9",
	sentence: "what staff send again is in their trail, one text a click at most",
	about:    []string{`SELECT event_id FROM resend WHERE requested_by LIKE 'staff:%'`},
	wrong: []question{
		{"text sent again by staff that the trail does not know", `SELECT CAST(x.event_id AS text) AS id FROM resend x
			WHERE x.requested_by LIKE 'staff:%' AND NOT ` + clicked + ` AND NOT ` + inBulk, nil},
		{"reservation whose texts were sent again more often than somebody asked", `SELECT CAST(x.reservation_id AS text) AS id
			FROM resend x WHERE x.requested_by LIKE 'staff:%' AND NOT ` + inBulk + ` GROUP BY x.reservation_id, x.requested_by
			HAVING COUNT(*) > (SELECT COUNT(*) FROM staff_trail t WHERE t.actor = x.requested_by AND t.action = 'resent'
				AND t.reservation_id = x.reservation_id)`, nil},
		{"work on many that the trail does not know", `SELECT CAST(r.id AS text) AS id FROM staff_run r WHERE NOT EXISTS (
			SELECT 1 FROM staff_trail t WHERE t.actor = r.actor AND t.action = 'run-begun' AND t.detail LIKE 'run ' || CAST(r.id AS text) || '%')`, nil},
	},
}

const (
	clicked = `EXISTS (SELECT 1 FROM staff_trail t WHERE t.actor = x.requested_by AND t.action = 'resent' AND t.reservation_id = x.reservation_id)`
	inBulk  = `EXISTS (SELECT 1 FROM staff_run r WHERE r.actor = x.requested_by AND r.began_at <= x.created_at)`
)

func showSeq(n int64) string { return "entry " + strconv.FormatInt(n, 10) }

// trailPage is how many entries are in memory at once.
const trailPage = 1000

type trailRow struct {
	Seq         int64      `db:"seq"`
	At          sqldb.Time `db:"at"`
	Actor       string     `db:"actor"`
	Action      string     `db:"action"`
	Reservation string     `db:"reservation_id"`
	Detail      string     `db:"detail"`
	Previous    []byte     `db:"previous"`
	Hash        []byte     `db:"hash"`
}

// sum is the hash of an entry, from the design: number and time as 64 bits, big-endian, the time in microseconds since 1970; then
// each part behind its length.
func (t trailRow) sum() []byte {
	var b []byte
	b = binary.BigEndian.AppendUint64(b, uint64(t.Seq))
	b = binary.BigEndian.AppendUint64(b, uint64(t.At.UnixMicro()))
	for _, part := range [][]byte{[]byte(t.Actor), []byte(t.Action), []byte(t.Reservation), []byte(t.Detail), t.Previous} {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(part))), part...)
	}
	h := sha256.Sum256(b)
	return h[:]
}

// trail judges I11: from the first entry to the head nothing was changed, taken out, put in or moved. What is behind the first
// thing that is wrong is not judged: it hangs on that.
func (r *run) trail(ctx context.Context) (Invariant, error) {
	inv := Invariant{ID: "I11", Sentence: "the trail of what staff did is as it was written"}
	first := sha256.Sum256([]byte("ansim staff trail 1"))
	previous, next := first[:], int64(1)
	for {
		var rows []trailRow
		if err := r.tx.Select(ctx, &rows, `SELECT seq, at, actor, action, COALESCE(CAST(reservation_id AS text), '') AS reservation_id, detail, previous, hash
			FROM staff_trail WHERE seq >= ? ORDER BY seq LIMIT ?`, next, trailPage); err != nil {
			return inv, err
		}
		for _, t := range rows {
			inv.Checked++
			switch id := showSeq(next); {
			case t.Seq != next:
				inv.wrong("entry that is missing", id)
				return inv, nil
			case !bytes.Equal(t.Previous, previous):
				inv.wrong("entry that does not follow the one before it", id)
				return inv, nil
			case !bytes.Equal(t.Hash, t.sum()):
				inv.wrong("entry that is not as it was written", id)
				return inv, nil
			}
			previous, next = t.Hash, next+1
		}
		if len(rows) < trailPage {
			break
		}
	}
	var heads []struct {
		Seq  int64  `db:"seq"`
		Hash []byte `db:"hash"`
	}
	if err := r.tx.Select(ctx, &heads, `SELECT seq, hash FROM staff_trail_head`); err != nil {
		return inv, err
	}
	last := next - 1
	switch {
	case len(heads) == 0 && last == 0:
	case len(heads) == 0:
		inv.wrong("trail without its head", showSeq(last))
	case heads[0].Seq > last:
		inv.wrong("entry that is missing", showSeq(next))
	case heads[0].Seq < last || !bytes.Equal(heads[0].Hash, previous):
		inv.wrong("entry that the head does not know", showSeq(last))
	}
	return inv, nil
}
