// Package audit checks ansim's promises against a database and, where they can be had, against accounts that others keep: the
// sandbox's log, the provider's own list, the Kafka topic.
//
// It is the second opinion behind `ansim check`: plain SQL over the tables, in one snapshot that writes nothing, and readers
// of its own for the log, the list and the topic. It shares no code with what fills them, and only schema/sqldb with the rest
// of the program; what a text has to say it knows from the design, not from what renders it. What is on its way and inside
// its deadline is counted as open; what broke a promise, or is on its way for longer than that, is a violation.
//
// # The order of looks
//
// The others' accounts are read first and the snapshot is taken then. An attempt is committed before its request and an event
// before it is published, so what they have must be in the snapshot, without exception. What the snapshot has and they have
// not may have come in between; so young things of that kind are open.
//
// # Memory
//
// Tables are aggregated by the database, never loaded. What must be compared with another account goes through merge sorts, each
// of which keeps 13 MB and puts the rest into a temporary file: some 500 bytes a text in all. The files hold ids and hashes, never
// a number or a text; numbers and codes are hashed with a key that is forgotten when the process ends.
//
// Measured with BenchmarkRun on PostgreSQL 15 with two cores, which ten others used as well, for reservations with one text and
// two receipts each: 300,000 in 14 s, 3,000,000 in 287 s, and with a log of as many texts in 19 s and 349 s; the process took
// 24 MB at most, with the log 160 MB, whatever the number of rows.
//
// It holds a snapshot for as long as it takes. That blocks nobody, but PostgreSQL keeps dead rows meanwhile.
package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"ansim/schema/sqldb"
)

// Options say what counts as late, and what else there is to compare with. The zero value is ready for use.
type Options struct {
	// Now is the time against which ages are taken. Default: the transaction's own.
	Now time.Time
	// MessageWithin is how old an outbox row may be that has not become messages or is not in the topic, and how old an
	// accepted text that the log does not have. Default 60 s: the sweeper heals after 30 s, and needs a moment.
	MessageWithin time.Duration
	// OpenWithin is how long past its due time a message may wait, and how long an outcome may be unknown. Default 30 min,
	// the limit of invariant I8.
	OpenWithin time.Duration
	// Slack is how far two transactions' times may contradict the order in which they committed: each reads the clock once,
	// maybe before it waits for the other's lock. Default 2 s.
	Slack time.Duration
	// ListLag is how long the provider's list may be without a text that it took. Default 5 min; it promises nothing.
	ListLag time.Duration
	// Looks are the moments at which the service looks for a text whose answer was lost (ANSIM_RECONCILE): nothing is
	// attempted again before the first. Default 5 s, 15 s, 60 s, 180 s.
	Looks []time.Duration
	// Log is the sandbox's log, one JSON object a line; nil when there is none to compare with.
	Log io.Reader
	// Provider is the provider's account whose list is compared; nil when it is not.
	Provider *Provider
	// Brokers are host:port of Kafka brokers whose topic is compared; none when it is not.
	Brokers []string
	// Dial opens a connection to one of them, encrypted and logged in where they want that. Default: in the clear, as nobody.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
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
	set(&o.ListLag, 5*time.Minute)
	if len(o.Looks) == 0 {
		o.Looks = []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 3 * time.Minute}
	}
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
	// Notes say what could not be judged, and figures that belong here alone.
	Notes []string `json:"notes,omitempty"`
}

// Example is one of the violations: at most five for each kind are kept. It holds ids only.
type Example struct {
	Finding string `json:"finding"`
	ID      string `json:"id"`
}

// maxExamples is how many examples of a finding are shown.
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

func (i *Invariant) wrong(finding, id string) {
	i.Violations++
	i.example(finding, id)
}

// Run checks every invariant in one snapshot of db, which may be open read-only and in use by others. An error means that it
// could not be checked; it wraps ErrLog, ErrProvider or ErrTopic when that account is at fault. Broken promises are in the
// report.
func Run(ctx context.Context, db *sqldb.DB, o Options) (Report, error) {
	r := run{opts: o.withDefaults()}
	defer r.close()
	if err := r.gather(ctx, db); err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	var report Report
	err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		report, err = r.judge(ctx, tx)
		return err
	})
	if err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	return report, nil
}

// run is one audit under way.
type run struct {
	opts  Options
	began time.Time // before the others' accounts were read, by the database's clock
	texts []account // what the network and the provider say that they took
	topic *topic

	tx  *sqldb.Tx // of the snapshot
	now time.Time // of the snapshot
	// Events made before the one, and texts of appointments that began before the other, may have been deleted for their age.
	eventsFrom, textsFrom time.Time
}

func (r *run) close() {
	for _, a := range r.texts {
		a.texts.close()
	}
	if r.topic != nil {
		r.topic.events.close()
	}
}

// gather reads the others' accounts.
func (r *run) gather(ctx context.Context, db *sqldb.DB) error {
	var oldest *sqldb.Time
	err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if r.began, err = r.clock(ctx, tx); err != nil || r.opts.Provider == nil {
			return err
		}
		return tx.Get(ctx, &oldest, `SELECT MIN(started_at) FROM attempt`)
	})
	if err != nil {
		return err
	}
	if r.opts.Log != nil {
		a, err := readLog(r.opts.Log)
		a.lag = r.opts.MessageWithin
		r.texts = append(r.texts, a)
		if err != nil {
			return err
		}
	}
	if p := r.opts.Provider; p != nil {
		a, err := p.read(ctx, p.since(r.began, oldest))
		a.lag = r.opts.ListLag
		r.texts = append(r.texts, a)
		if err != nil {
			return err
		}
	}
	if len(r.opts.Brokers) > 0 {
		r.topic, err = readTopic(ctx, r.opts.Brokers, r.opts.Dial)
	}
	return err
}

func (r *run) clock(ctx context.Context, tx *sqldb.Tx) (time.Time, error) {
	if !r.opts.Now.IsZero() {
		return r.opts.Now, nil
	}
	return tx.Now(ctx)
}

// judge asks every question in one snapshot. It may run more than once.
func (r *run) judge(ctx context.Context, tx *sqldb.Tx) (report Report, err error) {
	r.tx = tx
	if err := roomy(ctx, tx); err != nil {
		return report, err
	}
	if r.now, err = r.clock(ctx, tx); err != nil {
		return report, err
	}
	report.At = r.now.UTC()
	if r.eventsFrom, err = r.kept(ctx, "outbox_retention"); err != nil {
		return report, err
	}
	if r.textsFrom, err = r.kept(ctx, "message_retention"); err != nil {
		return report, err
	}
	for _, inv := range invariants(dialect{tx.Dialect()}) {
		found, err := r.check(ctx, inv)
		if err != nil {
			return report, fmt.Errorf("check %s: %w", inv.id, err)
		}
		report.Invariants = append(report.Invariants, found)
	}
	trail, err := r.trail(ctx)
	if err != nil {
		return report, fmt.Errorf("check I11: %w", err)
	}
	report.Invariants = append(report.Invariants, trail)
	if r.topic != nil {
		found, err := r.compareTopic(ctx)
		if err != nil {
			return report, fmt.Errorf("compare the topic: %w", err)
		}
		report.Invariants = append(report.Invariants, found)
	}
	for _, a := range r.texts {
		found, err := r.compareTexts(ctx, a)
		if err != nil {
			return report, fmt.Errorf("compare %s: %w", a.name, err)
		}
		report.Invariants = append(report.Invariants, found...)
	}
	report.Figures, err = r.figures(ctx)
	return report, err
}

// epoch is before everything.
var epoch = time.Unix(0, 0).UTC()

// kept is from when on everything is there; epoch when nothing was ever deleted.
func (r *run) kept(ctx context.Context, table string) (time.Time, error) {
	var at sqldb.Time
	err := r.tx.Get(ctx, &at, `SELECT deleted_before FROM `+table+` WHERE id = 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return epoch, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read %s: %w", table, err)
	}
	return at.Time, nil
}

// roomy lets PostgreSQL use more memory for the few large questions of this transaction than for the many small ones that it
// is set up for, and not compile them: that takes longer than it saves.
func roomy(ctx context.Context, tx *sqldb.Tx) error {
	if tx.Dialect() != sqldb.Postgres {
		return nil
	}
	for _, set := range []string{`SET LOCAL work_mem = '32MB'`, `SET LOCAL jit = off`} {
		if _, err := tx.Exec(ctx, set); err != nil {
			return fmt.Errorf("make room for large questions: %w", err)
		}
	}
	return nil
}
