package notifier

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// TextStatus is what there is to know of one text.
type TextStatus struct {
	ReservationID string          `db:"reservation_id"`
	Version       int             `db:"version"`
	Kind          Kind            `db:"kind"`
	Recipient     event.Recipient `db:"recipient"`
	Resend        int             `db:"resend"`
	State         State           `db:"state"`
	Reason        string          `db:"reason"`
	Attempts      int             `db:"attempts"`
	AcceptedAt    *sqldb.Time     `db:"accepted_at"`
	DeliveredAt   *sqldb.Time     `db:"delivered_at"`
}

// Texts reads the texts of reservations, oldest version first. Reservations without texts are left out.
func Texts(ctx context.Context, db *sqldb.DB, reservationIDs []string) (map[string][]TextStatus, error) {
	if len(reservationIDs) == 0 {
		return nil, nil
	}
	// Of one id, which is most often, PostgreSQL plans the list faster than an array.
	query := `SELECT reservation_id, version, kind, recipient, resend, state, reason, attempts, accepted_at, delivered_at FROM message
		WHERE reservation_id IN (?` + strings.Repeat(", ?", len(reservationIDs)-1) + `) ORDER BY reservation_id, version, resend, recipient`
	args := make([]any, len(reservationIDs))
	for i, id := range reservationIDs {
		args[i] = id
	}
	out := make(map[string][]TextStatus)
	err := db.PeekEach(ctx, func(row sqldb.Row) error {
		var t TextStatus
		err := row.StructScan(&t)
		out[t.ReservationID] = append(out[t.ReservationID], t)
		return err
	}, query, db.Unplanned(args...)...)
	if err != nil {
		return nil, fmt.Errorf("read texts: %w", err)
	}
	return out, nil
}

// overduePage is how many outbox rows Overdue compares with messages at once, and overduePages how often at most: what lies
// behind so many is older than any alarm waits.
const (
	overduePage  = 2000
	overduePages = 50
)

// Lookout looks for committed changes that are no messages yet. It remembers up to where all are, so that looking again and again
// costs what is new. It is safe for concurrent use.
type Lookout struct {
	db *sqldb.DB

	mu   sync.Mutex
	seen string // up to here, as a position of outbox.Settled, every event has its messages; "" where the sweeper is
}

// NewLookout makes a Lookout on db.
func NewLookout(db *sqldb.DB) *Lookout { return &Lookout{db: db} }

// Overdue is when the oldest committed change was made that is no message yet, zero when there is none. It looks behind the
// sweeper's position only, where a dead notifier and a lost Kafka leave their traces.
func (l *Lookout) Overdue(ctx context.Context) (oldest time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.seen
	err = l.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		oldest = time.Time{}
		swept, err := Swept(ctx, tx)
		if err != nil {
			return err
		}
		seen = outbox.Further(l.seen, swept) // the sweeper has set aside what cannot become a message
		// Nothing can appear behind what is settled, so that need not be looked at again; behind what is merely visible, it can.
		for range overduePages {
			events, next, err := outbox.Settled(ctx, tx, seen, forever, overduePage)
			if err != nil {
				return err
			}
			if len(events) == 0 {
				break
			}
			missing, err := firstWithout(ctx, tx, events)
			if err != nil {
				return err
			}
			if missing < len(events) {
				oldest = events[missing].Time
				if missing > 0 { // up to there need not be looked at again
					_, seen, err = outbox.Settled(ctx, tx, seen, forever, missing)
				}
				return err
			}
			seen = next
		}
		position := seen
		for range overduePages {
			events, next, err := outbox.Visible(ctx, tx, position, overduePage)
			if err != nil || len(events) == 0 {
				return err
			}
			missing, err := firstWithout(ctx, tx, events)
			if err != nil {
				return err
			}
			if missing < len(events) {
				oldest = events[missing].Time
				return nil
			}
			position = next
		}
		return nil
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("look for changes without a message: %w", err)
	}
	l.seen = seen
	return oldest, nil
}

// forever is later than every event.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// firstWithout is the place of the first of events that has no message, their number when each has.
func firstWithout(ctx context.Context, tx *sqldb.Tx, events []event.Event) (int, error) {
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID})
	for _, e := range events {
		rows.Add(e.ID)
	}
	src, args := tx.Source(rows)
	var there []string
	// One lookup each: a join may read all messages for it, as long as PostgreSQL has no statistics of them.
	if err := tx.Select(ctx, &there, "WITH "+src+`, found AS MATERIALIZED (
			SELECT (SELECT m.event_id FROM message m WHERE m.event_id = src_id LIMIT 1) AS id FROM src)
		SELECT id FROM found WHERE id IS NOT NULL`, tx.Unplanned(args...)...); err != nil {
		return 0, err
	}
	has := make(map[string]bool, len(there))
	for _, id := range there {
		has[id] = true
	}
	if i := slices.IndexFunc(events, func(e event.Event) bool { return !has[e.ID] }); i >= 0 {
		return i, nil
	}
	return len(events), nil
}

// Trouble is what is on its way to be solved without anybody, for one reason.
type Trouble struct {
	State  State      `db:"state"` // unknown: it is being found out; undelivered: a further attempt follows
	Reason string     `db:"reason"`
	Count  int64      `db:"count"`
	Oldest sqldb.Time `db:"oldest"`
}

// Troubles counts the texts of unknown outcome and those that were taken and did not arrive, by their reasons. It reads only the
// queue and the messages of what it counts.
func Troubles(ctx context.Context, db *sqldb.DB) (found []Trouble, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		found = nil
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		return tx.Select(ctx, &found, `SELECT m.state, m.reason, COUNT(*) AS count, MIN(m.updated_at) AS oldest
			FROM message_queue q JOIN message m ON m.id = q.message_id
			WHERE (q.job = 'look' OR q.job = 'send' AND q.since > ?) AND m.state IN ('unknown', 'undelivered')
			GROUP BY m.state, m.reason ORDER BY m.state DESC, count DESC, m.reason`, tx.Unplanned(sqldb.At(now))...)
	})
	if err != nil {
		return nil, fmt.Errorf("count what is being solved: %w", err)
	}
	return found, nil
}
