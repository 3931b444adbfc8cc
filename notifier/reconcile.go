package notifier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

const (
	// listSlack is how far the provider's clock may be behind ours: a text created earlier than that before an attempt is
	// not that attempt's.
	listSlack = 2 * time.Minute
	// listDepth is how far behind an attempt its number's list is read.
	listDepth = 10 * time.Minute
	// lookers is how many numbers are looked up at once, and lookClaim how many are claimed for that.
	lookers   = 16
	lookClaim = 100
	// listTime bounds one look: a list that hangs must not hold up the others for as long as a request may take.
	listTime = 5 * time.Second
)

// reconciler finds out what became of texts whose answer was lost.
type reconciler struct {
	db        *sqldb.DB
	directory Directory
	provider  Provider
	recorder  *Recorder
	policy    Policy
	metrics   *Metrics
	log       *slog.Logger
	wake      func() // something may be due for sending
}

// round looks up what is due. It returns how many messages it handled.
func (r *reconciler) round(ctx context.Context) (int, error) {
	if due, err := r.due(ctx, StateUnknown); err != nil || !due {
		return 0, err
	}
	var ms []*Message
	err := r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		ms, err = claim(ctx, tx, StateUnknown, newToken(), lookClaim, r.policy.Lease)
		return err
	})
	if err != nil || len(ms) == 0 {
		return 0, err
	}
	phones, logs, err := r.prepare(ctx, ms)
	if err != nil {
		return 0, err
	}
	var g errgroup.Group
	g.SetLimit(lookers)
	for _, m := range ms {
		g.Go(func() error { r.look(ctx, logs[m.ID], phones[m.ID]); return nil })
	}
	_ = g.Wait()
	r.wake()
	return len(ms), nil
}

// due says whether the time of a message in state s has come. Mostly none has, and this look takes no lock.
func (r *reconciler) due(ctx context.Context, s State) (due bool, err error) {
	err = r.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		return tx.Get(ctx, &due, `SELECT EXISTS (SELECT 1 FROM message WHERE state = '`+string(s)+`' AND due_at <= ?)`,
			tx.Unplanned(sqldb.At(now))...)
	})
	return due, err
}

// expire makes open attempts whose lease ran out unknown: their process may have died after the request was written.
func (r *reconciler) expire(ctx context.Context) (n int, err error) {
	if due, err := r.due(ctx, Sending); err != nil || !due {
		return 0, err
	}
	err = r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		due, err := claim(ctx, tx, Sending, newToken(), r.policy.Claim, r.policy.Lease)
		if err != nil {
			return err
		}
		n = len(due)
		ids := make([]string, 0, n)
		for _, m := range due {
			ids = append(ids, m.ID)
		}
		ms, err := load(ctx, tx, ids)
		if err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		for _, m := range ms {
			m.expire(now, r.policy)
		}
		return save(ctx, tx, ms)
	})
	return n, err
}

// prepare reads the numbers to look up, and the messages with their attempts.
func (r *reconciler) prepare(ctx context.Context, ms []*Message) (map[string]personal.Phone, map[string]*Message, error) {
	phones := make(map[string]personal.Phone, len(ms))
	var logs map[string]*Message
	err := r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var ids, reservations []string
		for _, m := range ms {
			ids, reservations = append(ids, m.ID), append(reservations, m.ReservationID)
		}
		appointments, err := r.directory(ctx, tx, reservations, false)
		if err != nil {
			return err
		}
		for _, m := range ms {
			if a, ok := appointments[m.ReservationID]; ok {
				phones[m.ID] = a.phone(m.Recipient)
			}
		}
		logs, err = load(ctx, tx, ids)
		return err
	})
	return phones, logs, err
}

// look asks the provider's list for the unknown attempts of one message.
func (r *reconciler) look(ctx context.Context, m *Message, to personal.Phone) {
	if m == nil || m.State != StateUnknown {
		return
	}
	var open []*Attempt
	for _, a := range m.log {
		if a.State == AttemptUnknown {
			open = append(open, a)
		}
	}
	if len(open) == 0 {
		return
	}
	found, err := r.find(ctx, to, open[0].StartedAt.Add(-listDepth))
	if err != nil {
		r.metrics.looks.WithLabelValues("error").Inc()
		r.log.Warn("cannot look up an unknown outcome", "message_id", m.ID, "look", m.Looks+1, "error", err)
		r.conclude(ctx, m, (*Message).lookFailed)
		return
	}
	hits := 0
	for _, a := range open {
		hit, err := r.prove(ctx, a, &found)
		if err != nil {
			r.log.Error("cannot record a look-up; it will be repeated", "message_id", m.ID, "error", err)
			return // the claim runs out
		}
		if hit {
			hits++
		}
	}
	if hits > 0 {
		r.metrics.looks.WithLabelValues("found").Inc()
		return
	}
	r.metrics.looks.WithLabelValues("missed").Inc()
	r.conclude(ctx, m, (*Message).missed)
}

// find lists the number's texts, oldest first.
func (r *reconciler) find(ctx context.Context, to personal.Phone, since time.Time) (found []Sighting, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(listTime, r.policy.Deadline))
	defer cancel()
	found, err = r.provider.Find(ctx, to, since)
	slices.SortStableFunc(found, func(a, b Sighting) int { return a.Created.Compare(b.Created) })
	return found, err
}

// prove records the oldest listed text that can be a's: exactly its words, created no earlier than its request, and not
// known to be another attempt's. An older copy thus proves the older attempt, never a newer one.
func (r *reconciler) prove(ctx context.Context, a *Attempt, found *[]Sighting) (bool, error) {
	for i, s := range *found {
		hash := sha256.Sum256([]byte(s.Body))
		if !bytes.Equal(hash[:], a.BodyHash) || s.Created.Before(a.StartedAt.Add(-listSlack)) || !KnownStatus(s.Status) {
			continue
		}
		err := r.recorder.Receive(ctx, Receipt{Token: a.Token, SID: s.SID, Status: s.Status, ErrorCode: s.ErrorCode, FromList: true})
		switch {
		case err == nil:
			*found = slices.Delete(*found, i, i+1)
			return true, nil
		case !errors.Is(err, ErrForeign):
			return false, err
		}
	}
	return false, nil
}

// conclude applies to m, as it is now, what a look without a hit means.
func (r *reconciler) conclude(ctx context.Context, m *Message, step func(*Message, time.Time, Policy)) {
	err := r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		ms, err := load(ctx, tx, []string{m.ID})
		if err != nil {
			return err
		}
		if cur := ms[m.ID]; cur != nil && cur.LeaseToken == m.LeaseToken {
			step(cur, now, r.policy)
		}
		return save(ctx, tx, ms)
	})
	if err != nil && ctx.Err() == nil {
		r.log.Error("cannot record a look-up; it will be repeated", "message_id", m.ID, "error", err)
	}
}
