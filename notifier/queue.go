package notifier

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ansim/schema/sqldb"
)

// weights are how the classes of priority share the sender while each has work: of 15 texts, 8 confirmations, 4 changes and
// cancellations, 2 that somebody asked for again, 1 reminder. So the first goes first, and the last is never starved; a class
// that has nothing leaves its share to the others.
var weights = [...]int{first: 8, second: 4, third: 2, last: 1}

// turns is whose turn it is: a smooth weighted round, so that also single texts are shared fairly.
type turns [len(weights)]int

// next takes the first of one of the queues, nil when all are empty.
func (t *turns) next(queues *[len(weights)][]*Message) *Message {
	best, total := -1, 0
	for c, q := range queues {
		if len(q) == 0 {
			t[c] = 0
			continue
		}
		t[c] += weights[c]
		total += weights[c]
		if best < 0 || t[c] > t[best] {
			best = c
		}
	}
	if best < 0 {
		return nil
	}
	t[best] -= total
	m := queues[best][0]
	queues[best] = queues[best][1:]
	return m
}

// pickSend locks what is due to be sent, at most limit of each class, oldest first. What another process holds is left out.
//
// The state is asked for beside the job: it is read again once the message is locked, which the queue's row is not, and
// somebody may have begun the message since.
func pickSend(ctx context.Context, tx *sqldb.Tx, limit int) (queues [len(weights)][]*Message, err error) {
	now, err := tx.Now(ctx)
	if err != nil {
		return queues, err
	}
	var with, from []string
	var args []any
	for c := range weights {
		with = append(with, fmt.Sprintf(`c%d AS (SELECT %s FROM message_queue q JOIN message m ON m.id = q.message_id
			WHERE q.job = 'send' AND q.priority = %d AND q.due_at <= ? AND m.state IN ('pending', 'undelivered')
			ORDER BY q.due_at LIMIT ?%s)`, c, messageColumns, c, tx.ForUpdateSkipLockedOf("m")))
		from = append(from, fmt.Sprintf("SELECT * FROM c%d", c))
		args = append(args, sqldb.At(now), limit)
	}
	var ms []*Message
	err = tx.Select(ctx, &ms, "WITH "+strings.Join(with, ", ")+" "+strings.Join(from, " UNION ALL "), args...)
	if err != nil {
		return queues, fmt.Errorf("pick what is to be sent: %w", err)
	}
	for _, m := range ms {
		queues[m.priority()] = append(queues[m.priority()], m)
	}
	return queues, nil
}

// pick locks up to limit messages in one of the states for which job is due. What another process holds is left out.
func pick(ctx context.Context, tx *sqldb.Tx, job Job, limit int, states ...State) ([]*Message, error) {
	now, err := tx.Now(ctx)
	if err != nil {
		return nil, err
	}
	in := make([]string, len(states))
	for i, s := range states {
		in[i] = "'" + string(s) + "'"
	}
	var ms []*Message
	err = tx.Select(ctx, &ms, `SELECT `+messageColumns+` FROM message_queue q JOIN message m ON m.id = q.message_id
		WHERE q.job = '`+string(job)+`' AND q.priority = 0 AND q.due_at <= ? AND m.state IN (`+strings.Join(in, ", ")+`)
		ORDER BY q.due_at LIMIT ?`+tx.ForUpdateSkipLockedOf("m"), sqldb.At(now), limit)
	if err != nil {
		return nil, fmt.Errorf("pick a %s job: %w", job, err)
	}
	return ms, nil
}

// lease makes jobs of messages that are locked due later, so that nobody else takes them meanwhile.
func lease(ctx context.Context, tx *sqldb.Tx, ms []*Message, job Job, until time.Time) error {
	for _, m := range ms {
		m.plan(job, until)
	}
	return savePlans(ctx, tx, ms)
}

// due says whether there is a job of one of these kinds whose time has come. It takes no lock.
func due(ctx context.Context, db *sqldb.DB, job Job) (is bool, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		return tx.Get(ctx, &is, `SELECT EXISTS (SELECT 1 FROM message_queue
			WHERE job = '`+string(job)+`' AND priority = 0 AND due_at <= ?)`, sqldb.At(now))
	})
	return is, err
}

// savePlans writes what becomes of the messages' rows in the queue. The messages are locked.
func savePlans(ctx context.Context, tx *sqldb.Tx, ms []*Message) error {
	put := sqldb.NewRows("src", sqldb.Column{Name: "message_id", Type: sqldb.UUID}, sqldb.Column{Name: "job", Type: sqldb.Text},
		sqldb.Column{Name: "priority", Type: sqldb.Int}, sqldb.Column{Name: "due_at", Type: sqldb.Timestamp},
		sqldb.Column{Name: "since", Type: sqldb.Timestamp})
	drop := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID})
	for _, m := range ms {
		if m.next == nil {
			continue
		}
		at, priority, since := sqldb.At(m.next.at), 0, m.EventAt
		if m.AcceptedAt != nil {
			since = at
		}
		if m.next.job == Send {
			priority = m.priority()
		}
		if m.next.job == "" {
			drop.Add(m.ID)
		} else {
			put.Add(m.ID, string(m.next.job), priority, at, since)
		}
		m.next = nil
	}
	if put.Len() > 0 {
		src, args := tx.Source(put)
		// Nearly always the row is there, and changing it costs less than an insert that finds it in its way.
		n, err := tx.Exec(ctx, "WITH "+src+` UPDATE message_queue SET job = src.job, priority = src.priority, due_at = src.due_at,
			since = src.since FROM src WHERE message_queue.message_id = src.message_id`, args...)
		if err == nil && n < int64(put.Len()) {
			_, err = tx.Exec(ctx, "WITH "+src+` INSERT INTO message_queue (message_id, job, priority, due_at, since)
				SELECT message_id, job, priority, due_at, since FROM src WHERE true ON CONFLICT (message_id) DO NOTHING`, args...)
		}
		if err != nil {
			return fmt.Errorf("queue messages: %w", err)
		}
	}
	if drop.Len() > 0 {
		src, args := tx.Source(drop)
		_, err := tx.Exec(ctx, "WITH "+src+` DELETE FROM message_queue WHERE message_id IN (SELECT src_id FROM src)`,
			args...)
		if err != nil {
			return fmt.Errorf("take messages off the queue: %w", err)
		}
	}
	return nil
}

// blocked says which of ms wait for an earlier one: a text starts only when none of an earlier version to the same person is
// on its way or of unknown outcome. The version decides what a person reads last, not the arrival. A text of which one copy is
// known to have arrived may have another in flight: that is waited for, too, and when its answer is lost, until the provider
// must have taken it if it ever does (settled).
func blocked(ctx context.Context, tx *sqldb.Tx, ms []*Message, settled time.Duration) (map[string]bool, error) {
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID}, sqldb.Column{Name: "src_reservation", Type: sqldb.UUID},
		sqldb.Column{Name: "src_recipient", Type: sqldb.Text}, sqldb.Column{Name: "src_version", Type: sqldb.Int})
	for _, m := range ms {
		if m.Version > 1 {
			rows.Add(m.ID, m.ReservationID, string(m.Recipient), m.Version)
		}
	}
	if rows.Len() == 0 {
		return nil, nil
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return nil, err
	}
	src, args := tx.Source(rows)
	var ids []string
	err = tx.Select(ctx, &ids, "WITH "+src+` SELECT DISTINCT CAST(src_id AS text) FROM src
		JOIN message e ON e.reservation_id = src_reservation AND e.recipient = src_recipient AND e.version < src_version
		WHERE e.state IN ('sending', 'unknown') OR EXISTS (SELECT 1 FROM attempt a WHERE a.message_id = e.id
			AND (a.state = 'open' OR a.state = 'unknown' AND a.unknown_at > ?))`, append(args, sqldb.At(now.Add(-settled)))...)
	if err != nil {
		return nil, fmt.Errorf("look for earlier texts: %w", err)
	}
	return setOf(ids), nil
}

// sentAgain says which of ms were sent again on request while it was not known whether they had been sent: a further attempt
// of theirs would be one copy more than anybody asked for.
func sentAgain(ctx context.Context, tx *sqldb.Tx, ms []*Message) (map[string]bool, error) {
	rows := sqldb.NewRows("src", sqldb.Column{Name: "src_id", Type: sqldb.UUID}, sqldb.Column{Name: "src_reservation", Type: sqldb.UUID},
		sqldb.Column{Name: "src_kind", Type: sqldb.Text}, sqldb.Column{Name: "src_version", Type: sqldb.Int},
		sqldb.Column{Name: "src_recipient", Type: sqldb.Text}, sqldb.Column{Name: "src_resend", Type: sqldb.Int})
	for _, m := range ms {
		if m.unknowns() > 0 {
			rows.Add(m.ID, m.ReservationID, string(m.Kind), m.Version, string(m.Recipient), m.Resend)
		}
	}
	if rows.Len() == 0 {
		return nil, nil
	}
	src, args := tx.Source(rows)
	var ids []string
	err := tx.Select(ctx, &ids, "WITH "+src+` SELECT DISTINCT CAST(src_id AS text) FROM src
		JOIN message x ON x.reservation_id = src_reservation AND x.kind = src_kind AND x.version = src_version
			AND x.recipient = src_recipient AND x.resend > src_resend`, args...)
	if err != nil {
		return nil, fmt.Errorf("look for what was sent again: %w", err)
	}
	return setOf(ids), nil
}

func setOf(ids []string) map[string]bool {
	out := make(map[string]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out
}

// bucket is a budget that all processes share: rate tokens a second, and up to burst at once.
type bucket struct {
	name        string
	rate, burst float64
}

// filling is how full a bucket was when it was last used.
type filling struct {
	bucket
	tokens float64
	used   time.Time
}

// lock reads a bucket and keeps others from using it until the transaction ends.
func (b bucket) lock(ctx context.Context, tx *sqldb.Tx) (filling, error) {
	now, err := tx.Now(ctx)
	if err != nil {
		return filling{}, err
	}
	var row struct {
		Tokens    float64    `db:"tokens"`
		UpdatedAt sqldb.Time `db:"updated_at"`
	}
	read := func() error {
		return tx.Get(ctx, &row, `SELECT tokens, updated_at FROM token_bucket WHERE name = ?`+tx.ForUpdate(), b.name)
	}
	err = read()
	if errors.Is(err, sql.ErrNoRows) { // the first time of all
		if _, err := tx.Exec(ctx, `INSERT INTO token_bucket (name, tokens, updated_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
			b.name, b.burst, sqldb.At(now)); err != nil {
			return filling{}, fmt.Errorf("make the budget %s: %w", b.name, err)
		}
		err = read()
	}
	if err != nil {
		return filling{}, fmt.Errorf("read the budget %s: %w", b.name, err)
	}
	f := filling{b, row.Tokens, row.UpdatedAt.Time}
	if now.Sub(f.used) < -clockSlack { // the clock was set back: without this, nothing would come in until it had caught up
		f.used = now
		// Stored at once: who finds nothing in it leaves nothing, and the next one would begin from its own time again.
		if _, err := tx.Exec(ctx, `UPDATE token_bucket SET updated_at = ? WHERE name = ?`, sqldb.At(now), b.name); err != nil {
			return filling{}, fmt.Errorf("set the budget %s back: %w", b.name, err)
		}
	}
	return f, nil
}

// clockSlack is how much earlier than the last user of a budget another may have read the clock, because it waited for the
// first: less than that is no clock that was set back. It is as long as a transaction may stand still.
const clockSlack = 10 * time.Second

// at is how many tokens there are at a time. Something is let through while any are left, so the rest may be below zero, which
// the next one waits for: a text longer than the whole bucket is sent, too, and the rate holds.
func (f filling) at(now time.Time) (tokens float64) {
	return min(f.burst, f.tokens+max(0, now.Sub(f.used).Seconds())*f.rate)
}

// leave stores what is left of the tokens that there were at a time.
func (f filling) leave(ctx context.Context, tx *sqldb.Tx, left float64, now time.Time) error {
	if now.Before(f.used) { // never back: the time in between would count twice
		now = f.used
	}
	_, err := tx.Exec(ctx, `UPDATE token_bucket SET tokens = ?, updated_at = ? WHERE name = ?`, left, sqldb.At(now), f.name)
	return wrapped("store the budget "+f.name, err)
}

// wait is how long until there is a token again.
func (b bucket) wait(left float64) time.Duration {
	if left > 0 || b.rate <= 0 {
		return 0
	}
	return time.Duration((-left/b.rate)*float64(time.Second)) + time.Millisecond
}

// inOrder are messages in the order of their ids, in which every process locks and writes.
func inOrder(ms map[string]*Message) []*Message {
	out := make([]*Message, 0, len(ms))
	for _, m := range ms {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *Message) int { return strings.Compare(a.ID, b.ID) })
	return out
}
