// Package audit checks ansim's promises against a database, and against the provider's log where there is one.
//
// It is the second opinion behind `ansim check`: plain SQL over the tables, in one snapshot that writes nothing, sharing no
// code with what fills them. What is on its way and inside its deadline is counted as open; what broke a promise, or is on
// its way for longer than that, is a violation. Tables are aggregated by the database, never loaded.
package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ansim/schema/sqldb"
)

// Options say what counts as late, and what else there is to compare with. The zero value is ready for use.
type Options struct {
	// Now is the time against which ages are taken. Default: the transaction's own.
	Now time.Time
	// MessageWithin is how old an outbox row may be that has not become messages. Default 60 s: the sweeper heals after
	// 30 s, and needs a moment.
	MessageWithin time.Duration
	// OpenWithin is how long past its due time a message may wait, and how long an outcome may be unknown. Default 30 min,
	// the limit of invariant I8.
	OpenWithin time.Duration
	// Slack is how far two transactions' times may contradict the order in which they committed: each reads the clock once,
	// maybe before it waits for the other's lock. Default 2 s.
	Slack time.Duration
	// Log is the sandbox's log, one JSON object a line; nil when there is none to compare with. It is read once.
	Log io.Reader
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.MessageWithin, time.Minute)
	set(&o.OpenWithin, 30*time.Minute)
	set(&o.Slack, 2*time.Second)
	return o
}

// Report is what Run found.
type Report struct {
	At         time.Time   `json:"at"`
	Invariants []Invariant `json:"invariants"`
	Figures    Figures     `json:"figures"`
}

// Invariant is one promise and how it stands.
type Invariant struct {
	ID         string    `json:"id"`
	Sentence   string    `json:"sentence"`
	Checked    int64     `json:"checked"`    // rows that the promise is about
	Violations int64     `json:"violations"` // times that it is broken
	Open       int64     `json:"open"`       // on its way, inside its deadline
	Examples   []Example `json:"examples,omitempty"`
}

// Example is one of the violations: at most five for each kind are kept. It holds ids only.
type Example struct {
	Finding string `json:"finding"`
	ID      string `json:"id"`
}

// maxExamples is how many examples an invariant shows.
const maxExamples = 5

// Failed says whether a promise is broken; with settled, what is still open counts as broken too.
func (r Report) Failed(settled bool) bool {
	for _, i := range r.Invariants {
		if i.Violations > 0 || settled && i.Open > 0 {
			return true
		}
	}
	return false
}

// ErrLogTwice is returned when the snapshot had to be taken again after the log had been read.
var ErrLogTwice = errors.New("the provider's log can be read only once; run the check again")

// Run checks every invariant in one snapshot of db, which may be open read-only and in use by others. An error means that it
// could not be checked; broken promises are in the report.
func Run(ctx context.Context, db *sqldb.DB, o Options) (Report, error) {
	o = o.withDefaults()
	var report Report
	read := false
	err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r := run{tx: tx, opts: o, now: o.Now}
		if r.now.IsZero() {
			var err error
			if r.now, err = tx.Now(ctx); err != nil {
				return err
			}
		}
		report = Report{At: r.now.UTC()}
		for _, inv := range invariants {
			found, err := r.check(ctx, inv)
			if err != nil {
				return fmt.Errorf("check %s: %w", inv.id, err)
			}
			report.Invariants = append(report.Invariants, found)
		}
		if o.Log != nil {
			if read {
				return ErrLogTwice
			}
			read = true
			found, err := r.checkLog(ctx, o.Log)
			if err != nil {
				return fmt.Errorf("check the provider's log: %w", err)
			}
			report.Invariants = append(report.Invariants, found...)
		}
		var err error
		report.Figures, err = r.figures(ctx)
		return err
	})
	if err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	return report, nil
}

// run is one audit under way.
type run struct {
	tx   *sqldb.Tx
	opts Options
	now  time.Time
}

// ago is the instant d before now, as a parameter.
func (r *run) ago(d time.Duration) sqldb.Time { return sqldb.At(r.now.Add(-d)) }

func (r *run) count(ctx context.Context, query string, args ...any) (int64, error) {
	var n int64
	err := r.tx.Get(ctx, &n, "SELECT COUNT(*) FROM ("+query+") AS counted", r.tx.Unplanned(args...)...)
	return n, err
}

// check asks the database each question of an invariant. A question is a query for the ids of what is wrong.
func (r *run) check(ctx context.Context, inv invariant) (Invariant, error) {
	out := Invariant{ID: inv.id, Sentence: inv.sentence}
	for _, q := range inv.about {
		n, err := r.count(ctx, q)
		if err != nil {
			return out, err
		}
		out.Checked += n
	}
	for _, q := range inv.open {
		n, err := r.count(ctx, q.query, r.args(q)...)
		if err != nil {
			return out, fmt.Errorf("%s: %w", q.finding, err)
		}
		out.Open += n
	}
	for _, q := range inv.wrong {
		n, err := r.count(ctx, q.query, r.args(q)...)
		if err != nil {
			return out, fmt.Errorf("%s: %w", q.finding, err)
		}
		if n == 0 {
			continue
		}
		out.Violations += n
		var ids []string
		if err := r.tx.Select(ctx, &ids, q.query+fmt.Sprintf(" ORDER BY 1 LIMIT %d", maxExamples), r.tx.Unplanned(r.args(q)...)...); err != nil {
			return out, fmt.Errorf("%s: %w", q.finding, err)
		}
		for _, id := range ids {
			out.example(q.finding, id)
		}
	}
	if inv.order {
		if err := r.outOfOrder(ctx, &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (i *Invariant) example(finding, id string) {
	n := 0
	for _, e := range i.Examples {
		if e.Finding == finding {
			n++
		}
	}
	if n < maxExamples {
		i.Examples = append(i.Examples, Example{finding, id})
	}
}

func (r *run) args(q question) []any {
	args := make([]any, len(q.ages))
	for i, age := range q.ages {
		args[i] = r.ago(age(r.opts))
	}
	return args
}

// outOfOrder looks for attempts that began after a later version of their reservation was committed. The times are compared
// here, since the two databases do arithmetic on times in different ways; the query returns only what looks wrong.
func (r *run) outOfOrder(ctx context.Context, out *Invariant) error {
	rows, err := r.tx.Query(ctx, `SELECT a.token, a.started_at, MIN(o.created_at) AS changed_at
		FROM attempt a JOIN message m ON m.id = a.message_id
		JOIN outbox o ON o.reservation_id = m.reservation_id AND o.version > m.version
		WHERE m.kind <> 'cancellation' AND o.created_at < a.started_at
		GROUP BY a.token, a.started_at`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var token string
		var started, changed sqldb.Time
		if err := rows.Scan(&token, &started, &changed); err != nil {
			return err
		}
		if started.Sub(changed.Time) > r.opts.Slack {
			out.Violations++
			out.example("attempt that began after the reservation was changed or cancelled", token)
		}
	}
	return rows.Err()
}
