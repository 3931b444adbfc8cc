package bulk

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/google/uuid"

	"ansim/booking"
	"ansim/notifier"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

const (
	// lease is how long a run belongs to a worker after it was last heard of. It renews it at least each third of that; a
	// transaction of the database ends within 30 s, and what it would count after that is refused.
	lease = 15 * time.Second
	// look is how long an idle worker waits before it looks again whether another process has set something off, or has ended.
	look = 2 * time.Second
)

// errNotOurs ends the work on a run that was paused, stopped, or taken over.
var errNotOurs = errors.New("the run is not this worker's any more")

// Worker does what is set off, one run at a time. There may be one in each process.
type Worker struct {
	*Desk
	Log *slog.Logger
	id  string
	hot chan struct{}
}

// NewWorker makes one.
func NewWorker(d *Desk, log *slog.Logger) *Worker {
	return &Worker{Desk: d, Log: log, id: uuid.NewString(), hot: make(chan struct{}, 1)}
}

// Wake says that there is something to do.
func (w *Worker) Wake() {
	select {
	case w.hot <- struct{}{}:
	default:
	}
}

// Work does what there is until ctx ends. It then finishes the item that it is at and gives its run back, for others to go on with.
func (w *Worker) Work(ctx context.Context) {
	t := time.NewTicker(look)
	defer t.Stop()
	for {
		found, err := w.Once(ctx)
		if err != nil && ctx.Err() == nil {
			w.Log.Error("work on many reservations at once broke", "error", err)
		}
		if found && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-w.hot:
		}
	}
}

// Once takes a run that nobody works on, if there is one, and works on it until it is done, paused, stopped, or ctx ends.
func (w *Worker) Once(ctx context.Context) (found bool, err error) {
	r, err := w.claim(ctx)
	if errors.Is(err, ErrNone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	j := &job{Worker: w, Run: r, saved: time.Now()}
	if r.About == Slot {
		err = j.slot(ctx)
	} else {
		err = j.parked(ctx)
	}
	// What there is to say is said also when the process ends.
	ctx = context.WithoutCancel(ctx)
	switch {
	case errors.Is(err, errNotOurs):
		return true, nil
	case err == nil:
		return true, j.end(ctx, Done)
	case errors.Is(err, context.Canceled):
		return true, j.end(ctx, Running)
	}
	return true, errors.Join(err, j.end(ctx, Failed))
}

// claim takes the oldest running run of which the lease has ended.
func (w *Worker) claim(ctx context.Context) (r Run, err error) {
	err = w.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		var row row
		err = tx.Get(ctx, &row, `SELECT `+columns+` FROM staff_run WHERE state = 'running' AND lease_until <= ? ORDER BY began_at LIMIT 1`+
			tx.ForUpdateSkipLocked(), sqldb.At(now))
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNone
		}
		if err != nil {
			return fmt.Errorf("find a run: %w", err)
		}
		if r, err = row.run(); err != nil {
			return err
		}
		// Who begins again with what is parked counts again what it passes by.
		if r.About != Slot {
			r.Passed, r.Outcomes = 0, map[string]int64{}
		}
		_, err = tx.Exec(ctx, `UPDATE staff_run SET lease_by = ?, lease_until = ? WHERE id = ?`, w.id, sqldb.At(now.Add(lease)), r.ID)
		return wrapped("take a run", err)
	})
	return r, err
}

// job is a run that this worker works on. Its Done is how many it has done itself.
type job struct {
	*Worker
	Run
	saved time.Time
}

// did counts an item that is done, in the transaction that does it. place is where a slot is then; "" for what is parked.
func (j *job) did(ctx context.Context, tx *sqldb.Tx, place string) error {
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `UPDATE staff_run SET done = done + 1, place = ?, changed_at = ?, lease_until = ?
		WHERE id = ? AND state = 'running' AND lease_by = ? AND (place < ? OR about <> 'slot')`,
		place, sqldb.At(now), sqldb.At(now.Add(lease)), j.ID, j.Worker.id, place)
	if err != nil {
		return fmt.Errorf("count in a run: %w", err)
	}
	if n == 0 {
		return errNotOurs
	}
	return nil
}

// save writes down what was passed by, and keeps the lease.
func (j *job) save(ctx context.Context, state State) error {
	outcomes, err := json.Marshal(j.Outcomes)
	if err != nil {
		return fmt.Errorf("write the outcomes of a run: %w", err)
	}
	j.saved = time.Now()
	return j.DB.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		until := now
		if state == Running {
			until = now.Add(lease)
		}
		n, err := tx.Exec(ctx, `UPDATE staff_run SET passed = ?, outcomes = ?, state = ?, changed_at = ?, lease_until = ?,
			place = CASE WHEN place < ? THEN ? ELSE place END WHERE id = ? AND state = 'running' AND lease_by = ?`,
			j.Passed, string(outcomes), string(state), sqldb.At(now), sqldb.At(until), j.place, j.place, j.ID, j.Worker.id)
		if err == nil && n == 0 {
			return errNotOurs
		}
		return wrapped("write down how far a run is", err)
	})
}

// end says what became of the run. Running gives it back.
func (j *job) end(ctx context.Context, state State) error {
	err := j.save(ctx, state)
	if errors.Is(err, errNotOurs) {
		return nil
	}
	if err != nil || state != Running {
		return err
	}
	return j.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE staff_run SET lease_until = ? WHERE id = ? AND lease_by = ?`, sqldb.At(now), j.ID, j.Worker.id)
		return wrapped("give a run back", err)
	})
}

// parked redrives.
func (j *job) parked(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	report, err := j.Parked.Redrive(ctx, notifier.RedriveOrder{
		Select: j.selection(), All: j.About == All, AcceptDuplicates: j.AcceptDuplicates, By: j.By,
		Within: func(ctx context.Context, tx *sqldb.Tx) error { return j.did(ctx, tx, "") },
		Progress: func(n notifier.RedriveCounts) {
			j.Passed = n.Skipped + n.Failed
			if time.Since(j.saved) > lease/5 {
				if err := j.save(context.WithoutCancel(ctx), Running); err != nil {
					cancel(err)
				}
			}
		}})
	j.Passed, j.Outcomes = report.Skipped+report.Failed, map[string]int64{}
	for _, g := range report.Groups {
		if g.Outcome != notifier.Redriven {
			j.Outcomes[g.Why] += g.Count
		}
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	if errors.Is(err, notifier.ErrNotParked) { // done before, or evidence came: nothing is left to do
		return nil
	}
	return err
}

// slot asks for the texts of everybody who is booked for a slot.
func (j *job) slot(ctx context.Context) error {
	j.Outcomes = maps.Clone(j.Outcomes)
	for {
		ids, err := booking.OfSlot(ctx, j.DB, j.Target, j.place, slotPage)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := j.again(context.WithoutCancel(ctx), id); err != nil {
				return err
			}
			if time.Since(j.saved) > lease/5 {
				if err := j.save(context.WithoutCancel(ctx), Running); err != nil {
					return err
				}
			}
		}
	}
}

// again asks for the texts of one reservation.
func (j *job) again(ctx context.Context, id string) error {
	look := func(ctx context.Context, tx *sqldb.Tx, ids []string) (map[string]map[event.Recipient]booking.NewestText, error) {
		if err := j.did(ctx, tx, id); err != nil {
			return nil, err
		}
		return j.Look(ctx, tx, ids)
	}
	_, err := booking.Resend(ctx, j.DB, look, booking.ResendOrder{ReservationID: id, Reason: j.Reason, By: j.By, EvenIfUnknown: j.AcceptDuplicates})
	var refused *booking.Refusal
	switch {
	case errors.As(err, &refused):
		j.Passed++
		j.Outcomes[outcomeOf(refused)]++
	case err != nil:
		return err
	}
	j.place = id
	return nil
}
