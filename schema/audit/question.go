package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ansim/schema/sqldb"
)

// invariant is one promise as questions to the database. Ids are those of FAULTS.
type invariant struct {
	id, sentence string
	about        []string   // rows that it is about
	wrong, open  []question // each returns the ids of what is wrong, or on its way
	families     []family
}

// family is questions about the same rows, which are expensive to make. One look at all of them together says that nothing is
// wrong, as nearly always nothing is; only else is each asked alone.
type family struct {
	id, from string
	wrong    []question // the query is a condition, without parameters
}

// questions are the family's, each alone.
func (f family) questions() []question {
	qs := make([]question, len(f.wrong))
	for i, q := range f.wrong {
		qs[i] = question{q.finding, "SELECT " + f.id + " AS id FROM " + f.from + " WHERE " + q.query, nil}
	}
	return qs
}

// together is the rows of which anything is wrong.
func (f family) together() string {
	conditions := make([]string, len(f.wrong))
	for i, q := range f.wrong {
		conditions[i] = "(" + q.query + ")"
	}
	return "SELECT 1 AS one FROM " + f.from + " WHERE " + strings.Join(conditions, " OR ")
}

// question is a query for ids, with its parameters in order.
type question struct {
	finding string
	query   string
	args    []arg
}

type arg func(*run) any

// before is an instant that long ago.
func before(f func(Options) time.Duration) arg {
	return func(r *run) any { return sqldb.At(r.now.Add(-f(r.opts))) }
}

// eventsFrom and textsFrom are from when on the outbox has all events, and the notifier all texts of appointments.
func eventsFrom(r *run) any { return sqldb.At(r.eventsFrom) }
func textsFrom(r *run) any  { return sqldb.At(r.textsFrom) }

// seconds is a length of time, to compare with what dialect.seconds computes.
func seconds(f func(Options) time.Duration) arg {
	return func(r *run) any { return (f(r.opts) - clockGrain).Seconds() }
}

// clockGrain is what SQLite's arithmetic on times may be off by, twice.
const clockGrain = 2 * time.Millisecond

func messageWithin(o Options) time.Duration { return o.MessageWithin }
func openWithin(o Options) time.Duration    { return o.OpenWithin }
func slack(o Options) time.Duration         { return o.Slack }
func firstLook(o Options) time.Duration     { return o.Looks[0] }

// lookCount is how many looks there are before a decision.
func lookCount(r *run) any { return len(r.opts.Looks) }

// dialect writes the few expressions that the two databases have different words for.
type dialect struct{ sqldb.Dialect }

// seconds is the time from one column to the other.
func (d dialect) seconds(from, to string) string {
	if d.Dialect == sqldb.Postgres {
		return "EXTRACT(EPOCH FROM (" + to + " - " + from + "))"
	}
	return "((julianday(" + to + ") - julianday(" + from + ")) * 86400.0)"
}

// timestamp is the type of a time.
func (d dialect) timestamp() string {
	if d.Dialect == sqldb.Postgres {
		return "timestamptz"
	}
	return "text"
}

// bytesOf is a column's text as bytes.
func (d dialect) bytesOf(column string) string {
	if d.Dialect == sqldb.Postgres {
		return "convert_to(CAST(" + column + " AS text), 'UTF8')"
	}
	return "CAST(" + column + " AS blob)"
}

// ranks are the states of an attempt, lowest first.
var ranks = []string{"open", "unknown", "not_sent", "rejected", "accepted", "sent", "failed", "undelivered", "delivered"}

// rankUnknown is the highest place of what nobody knows the end of.
const rankUnknown = 1

// rankOf is the place of an attempt's state in the order in which they move.
func rankOf(column string) string {
	var b strings.Builder
	b.WriteString("CASE " + column)
	for i, s := range ranks {
		fmt.Fprintf(&b, " WHEN '%s' THEN %d", s, i)
	}
	return b.String() + " END"
}

// proofOf is the place of what a receipt proves, NULL for a word that is none of the provider's.
func proofOf(column string) string {
	return "CASE WHEN " + column + " IN ('accepted', 'scheduled', 'queued', 'sending') THEN 4 WHEN " + column + " = 'sent' THEN 5" +
		" WHEN " + column + " IN ('failed', 'canceled') THEN 6 WHEN " + column + " = 'undelivered' THEN 7" +
		" WHEN " + column + " IN ('delivered', 'read') THEN 8 END"
}

// hexOf is a column's bytes as text: PostgreSQL knows no least of bytes.
func (d dialect) hexOf(column string) string {
	if d.Dialect == sqldb.Postgres {
		return "encode(" + column + ", 'hex')"
	}
	return "hex(" + column + ")"
}

// count counts what a query returns.
func (r *run) count(ctx context.Context, query string, args ...any) (int64, error) {
	var n int64
	err := r.tx.Get(ctx, &n, "SELECT COUNT(*) FROM ("+query+") AS counted", r.tx.Unplanned(args...)...)
	return n, err
}

// check asks the database each question of an invariant.
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
	wrong := inv.wrong
	for _, f := range inv.families {
		n, err := r.count(ctx, f.together())
		if err != nil {
			return out, err
		}
		if n > 0 {
			wrong = append(slices.Clip(wrong), f.questions()...)
		}
	}
	for _, q := range wrong {
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
	return out, nil
}

func (r *run) args(q question) []any {
	args := make([]any, len(q.args))
	for i, a := range q.args {
		args[i] = a(r)
	}
	return args
}
