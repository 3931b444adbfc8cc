// Package bulk is what staff set off for many reservations at once: to let go on what is parked (one, all of a cause, all), and
// to send the texts of a slot again. It is looked at first, can be paused and stopped, and is not lost or done twice by a process
// that ends in the middle of it: each item is a transaction of its own, in which it is counted, too.
//
//	Preview ── Start ──▶ running ──────────────▶ done
//	                      │  ▲  └── it broke ──▶ failed ──┐
//	                 Pause│  │GoOn                        │ GoOn
//	                      ▼  │  ◀────────────────────────-┘
//	                     paused ── Stop ──▶ stopped ◀── Stop ── running, failed
//
// A running one belongs to the Worker that holds its lease; when the lease ends, any other goes on with it.
package bulk

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/console/trail"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// About is what a run is about.
type About string

// What a run can be about.
const (
	Item  About = "item"  // one parked event or text; the target is its id
	Cause About = "cause" // all that is parked for a cause; the target is the cause
	All   About = "all"   // all that is parked, but what would fail again as it is
	Slot  About = "slot"  // everybody who is booked for a slot; the target is the slot's id
)

// State is where a run stands.
type State string

// The states.
const (
	Running State = "running"
	Paused  State = "paused"
	Stopped State = "stopped" // for good
	Done    State = "done"
	Failed  State = "failed" // something broke; GoOn tries again
)

// Order says what to do.
type Order struct {
	About  About
	Kind   notifier.ParkedKind // of what is parked; "" for both, and for a slot
	Target string
	Reason string // free words of who asks, as booking.NormalizeReason gives them; kept, never logged
	// AcceptDuplicates takes also texts of which it is unknown whether they arrived.
	AcceptDuplicates bool
}

// Run is one that was set off.
type Run struct {
	ID string
	Order
	By       string // "staff:NAME"
	State    State
	Total    int64 // how many there were when it began
	Done     int64
	Passed   int64            // looked at and not done
	Outcomes map[string]int64 // of those, why: an Outcome…, a notifier.Standing or Skipped…, or what an error says
	Began    time.Time
	Changed  time.Time // its state or its count
	place    string
}

// Left is how many are still to be looked at, as far as is known.
func (r Run) Left() int64 { return max(0, r.Total-r.Done-r.Passed) }

// What can be wrong with an order, or with what is asked of a run.
var (
	ErrNothing = errors.New("there is nothing to do")           // the slot is empty or unknown, or nothing is parked
	ErrNone    = errors.New("there is no such run")             // of that id
	ErrMoved   = errors.New("the run does not stand there now") // somebody else, or its end, was quicker
)

// Desk takes orders.
type Desk struct {
	DB *sqldb.DB
	// Parked lists and redrives; with Resend.
	Parked *notifier.Parked
	// Look is booking's look at the texts before they are sent again.
	Look booking.TextLook
}

func (o Order) selection() notifier.Selection {
	s := notifier.Selection{Kind: o.Kind}
	switch o.About {
	case Item:
		s.ID = o.Target
	case Cause:
		s.Cause = o.Target
	case All, Slot:
	}
	return s
}

// Plan is what a run would do.
type Plan struct {
	Total   int64
	Would   int64
	Risky   int64            // would with AcceptDuplicates only
	Not     map[string]int64 // and why the others would not, as in Run.Outcomes
	Samples []notifier.ParkedItem
}

// Why a text of a slot was not asked for again, beside notifier.SkippedMayHaveArrived.
const (
	OutcomePending  = "pending"   // it is still waiting to go out, and will
	OutcomeCoolDown = "cool-down" // one was asked for a moment ago
	OutcomePast     = "past"      // the appointment is over, or cancelled meanwhile
)

// outcomes are those of booking's refusals.
var outcomes = []struct {
	err error
	why string
}{
	{booking.ErrTextPending, OutcomePending}, {booking.ErrCoolDown, OutcomeCoolDown}, {booking.ErrOutcomeUnknown, notifier.SkippedMayHaveArrived},
	{booking.ErrNotChangeable, OutcomePast},
}

func outcomeOf(err error) string {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.why
		}
	}
	return err.Error()
}

// samples is how many items a plan shows.
const samples = 20

// Preview says what a run of o would do now. It changes nothing. ErrNothing when there is nothing.
func (d *Desk) Preview(ctx context.Context, o Order) (Plan, error) {
	if o.About == Slot {
		return d.previewSlot(ctx, o)
	}
	report, err := d.Parked.Redrive(ctx, notifier.RedriveOrder{Select: o.selection(), All: o.About == All, DryRun: true, AcceptDuplicates: o.AcceptDuplicates})
	if errors.Is(err, notifier.ErrNotParked) {
		return Plan{}, ErrNothing
	}
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Not: map[string]int64{}, Would: report.Redriven, Total: report.Redriven + report.Skipped + report.Failed}
	for _, g := range report.Groups {
		switch {
		case g.Outcome == notifier.Redriven:
		case g.Why == notifier.SkippedMayHaveArrived:
			p.Risky += g.Count
		default:
			p.Not[g.Why] += g.Count
		}
	}
	if p.Total == 0 {
		return p, ErrNothing
	}
	p.Samples, err = d.Parked.Items(ctx, o.selection(), samples)
	return p, err
}

// slotPage is how many reservations of a slot are read at once.
const slotPage = 500

func (d *Desk) previewSlot(ctx context.Context, o Order) (Plan, error) {
	p := Plan{Not: map[string]int64{}}
	for place := ""; ; {
		ids, err := booking.OfSlot(ctx, d.DB, o.Target, place, slotPage)
		if err != nil {
			return Plan{}, err
		}
		if len(ids) == 0 {
			break
		}
		place = ids[len(ids)-1]
		var texts map[string]map[event.Recipient]booking.NewestText
		if err := d.DB.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			texts, err = d.Look(ctx, tx, ids)
			return err
		}); err != nil {
			return Plan{}, err
		}
		for _, id := range ids {
			p.Total++
			switch why := inTheWay(texts[id]); {
			case why == OutcomePending:
				p.Not[why]++
			case why == "" || o.AcceptDuplicates:
				p.Would++
			default:
				p.Risky++
			}
		}
	}
	if p.Total == 0 {
		return p, ErrNothing
	}
	return p, nil
}

// inTheWay is what keeps texts from being sent again, "" when nothing does.
func inTheWay(newest map[event.Recipient]booking.NewestText) (why string) {
	if len(newest) == 0 { // the notifier has not got it yet
		return notifier.SkippedMayHaveArrived
	}
	for _, t := range newest {
		switch notifier.State(t.State) {
		case notifier.Pending:
			return OutcomePending
		case notifier.Sending, notifier.StateUnknown:
			why = notifier.SkippedMayHaveArrived
		default:
		}
	}
	return why
}

// Start sets off what was looked at. id is the form's nonce: the same one again is the same run. It goes into the trail.
func (d *Desk) Start(ctx context.Context, id, by string, o Order, total int64) error {
	if _, err := uuid.Parse(id); err != nil {
		return fmt.Errorf("a run needs a UUID: %w", err)
	}
	return d.DB.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		risk := 0
		if o.AcceptDuplicates {
			risk = 1
		}
		n, err := tx.Exec(ctx, `INSERT INTO staff_run (id, about, kind, target, reason, accept_duplicates, actor, state, total, done, passed,
			outcomes, place, began_at, changed_at, lease_by, lease_until) VALUES (?, ?, ?, ?, ?, ?, ?, 'running', ?, 0, 0, '{}', '', ?, ?, '', ?)
			ON CONFLICT DO NOTHING`, id, string(o.About), string(o.Kind), o.Target, o.Reason, risk, by, total, sqldb.At(now), sqldb.At(now), sqldb.At(now))
		if err != nil || n == 0 {
			return wrapped("begin a run", err)
		}
		detail := "run " + id + ", " + string(o.About)
		if o.AcceptDuplicates {
			detail += ", at the risk of second copies"
		}
		return trail.Append(ctx, tx, trail.Entry{Actor: by, Action: trail.RunBegun, Detail: detail})
	})
}

// moves are what a person may ask of a run.
var moves = map[State]struct {
	from   []State
	action trail.Action
}{
	Paused:  {[]State{Running}, trail.RunPaused},
	Running: {[]State{Paused, Failed}, trail.RunContinued},
	Stopped: {[]State{Running, Paused, Failed}, trail.RunStopped},
}

// Move pauses a run (Paused), lets it go on (Running) or stops it (Stopped). When it returns, nothing more is done of a run that was
// paused or stopped. ErrMoved when it stands where that makes no sense, ErrNone when there is none. It goes into the trail.
func (d *Desk) Move(ctx context.Context, id, by string, to State) error {
	m, ok := moves[to]
	if !ok {
		return ErrMoved
	}
	return d.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := read(ctx, tx, id, tx.ForUpdate())
		if err != nil {
			return err
		}
		fits := false
		for _, from := range m.from {
			fits = fits || r.State == from
		}
		if !fits {
			return ErrMoved
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		// What goes on looks again at what is there, and so counts again what it passes by; a slot has its place.
		again := ""
		if to == Running && r.About != Slot {
			again = ", passed = 0, outcomes = '{}'"
		}
		if _, err := tx.Exec(ctx, `UPDATE staff_run SET state = ?, changed_at = ?, lease_by = '', lease_until = ?`+again+` WHERE id = ?`,
			string(to), sqldb.At(now), sqldb.At(now), id); err != nil {
			return fmt.Errorf("move a run: %w", err)
		}
		return trail.Append(ctx, tx, trail.Entry{Actor: by, Action: m.action, Detail: "run " + id})
	})
}

type row struct {
	ID       string     `db:"id"`
	About    string     `db:"about"`
	Kind     string     `db:"kind"`
	Target   string     `db:"target"`
	Reason   string     `db:"reason"`
	Risk     int        `db:"accept_duplicates"`
	By       string     `db:"actor"`
	State    string     `db:"state"`
	Total    int64      `db:"total"`
	Done     int64      `db:"done"`
	Passed   int64      `db:"passed"`
	Outcomes string     `db:"outcomes"`
	Place    string     `db:"place"`
	Began    sqldb.Time `db:"began_at"`
	Changed  sqldb.Time `db:"changed_at"`
}

const columns = `id, about, kind, target, reason, accept_duplicates, actor, state, total, done, passed, outcomes, place, began_at, changed_at`

func (r row) run() (Run, error) {
	out := Run{ID: r.ID, Order: Order{About: About(r.About), Kind: notifier.ParkedKind(r.Kind), Target: r.Target, Reason: r.Reason, AcceptDuplicates: r.Risk != 0},
		By: r.By, State: State(r.State), Total: r.Total, Done: r.Done, Passed: r.Passed, Began: r.Began.Time, Changed: r.Changed.Time, place: r.Place}
	if err := json.Unmarshal([]byte(r.Outcomes), &out.Outcomes); err != nil {
		return Run{}, fmt.Errorf("read the outcomes of a run: %w", err)
	}
	return out, nil
}

func read(ctx context.Context, tx *sqldb.Tx, id, lock string) (Run, error) {
	if _, err := uuid.Parse(id); err != nil {
		return Run{}, ErrNone
	}
	var r row
	err := tx.Get(ctx, &r, `SELECT `+columns+` FROM staff_run WHERE id = ?`+lock, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Run{}, ErrNone
	}
	if err != nil {
		return Run{}, fmt.Errorf("read a run: %w", err)
	}
	return r.run()
}

// Get returns a run, ErrNone when there is none.
func (d *Desk) Get(ctx context.Context, id string) (r Run, err error) {
	err = d.DB.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err = read(ctx, tx, id, "")
		return err
	})
	return r, err
}

// List returns the newest runs, at most limit.
func (d *Desk) List(ctx context.Context, limit int) (runs []Run, err error) {
	var rows []row
	err = d.DB.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		rows = nil
		return tx.Select(ctx, &rows, `SELECT `+columns+` FROM staff_run ORDER BY began_at DESC, id LIMIT ?`, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	for _, r := range rows {
		run, err := r.run()
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
