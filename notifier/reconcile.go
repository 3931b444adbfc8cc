package notifier

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"ansim/schema/personal"
	"ansim/schema/sabotage"
	"ansim/schema/sqldb"
)

const (
	// listSlack is how far the provider's clock may be behind ours: a text created earlier than that before an attempt is
	// not that attempt's.
	listSlack = 2 * time.Minute
	// listDepth is how far behind an attempt its number's list is read.
	listDepth = 10 * time.Minute
	// lookers is how many questions are asked at once, and lookClaim for how many messages a round asks.
	lookers   = 16
	lookClaim = 100
	// askTime bounds one question: a provider that hangs must not hold up the others for as long as a request may take.
	askTime = 5 * time.Second
	// expireClaim is how many leases that ran out are ended at once.
	expireClaim = 500
)

// reconciler finds out what became of texts: of those whose answer was lost, by the provider's list of their numbers, and of
// those whose receipt did not come, by their ids. It never sends.
//
// All processes share one budget of questions. Looks may use all of it, polls half: a text of which nothing is known is worth
// more than a receipt. They are asked beside each other, so that a provider that answers neither holds up only its own kind.
// A look that came late because of the budget stands for all that were due by then, and all that is unknown of one number is
// answered by one list; so thousands of unknowns at once take longer, and nothing more.
type reconciler struct {
	db        *sqldb.DB
	directory Directory
	provider  Provider
	recorder  *Recorder
	policy    Policy
	metrics   *Metrics
	log       *slog.Logger
	wake      func() // something may be due for sending
	now       func() time.Time
}

// verdict is what a question told of one message, beside the evidence that was recorded.
type verdict struct {
	id   string
	seen *Message // as it was when the question was asked
	step func(*Message, time.Time, Policy)
}

// expire makes open attempts whose lease ran out unknown: their process may have died after the request was written.
func (r *reconciler) expire(ctx context.Context) (n int, err error) {
	if is, err := due(ctx, r.db, Answer); err != nil || !is {
		return 0, err
	}
	var done tally
	err = r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		done = tally{}
		picked, err := pick(ctx, tx, Answer, expireClaim, Sending)
		if err != nil {
			return err
		}
		n = len(picked)
		ms, err := withAttempts(ctx, tx, picked)
		if err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		for _, m := range ms {
			before := progressOf(m)
			m.expire(now, r.policy)
			done.count(before, m, now)
		}
		return save(ctx, tx, ms)
	})
	if err == nil {
		r.metrics.add(done)
	}
	return n, err
}

// looks asks for the texts whose answer was lost, as far as the budget goes. It returns for how many messages it asked.
func (r *reconciler) looks(ctx context.Context) (int, error) {
	return r.questions(ctx, Look, r.look, StateUnknown)
}

// polls asks for the receipts that did not come, as looks does.
func (r *reconciler) polls(ctx context.Context) (int, error) {
	return r.questions(ctx, Poll, r.poll, StateAccepted, StateSent, StateDelivered)
}

// questions asks for what is due of one kind of job.
func (r *reconciler) questions(ctx context.Context, job Job, ask func(context.Context, group) []verdict, states ...State) (int, error) {
	if is, err := due(ctx, r.db, job); err != nil || !is {
		return 0, err
	}
	var groups []group
	n := 0
	err := r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		groups, n, err = r.claim(ctx, tx, job, states)
		return err
	})
	if err != nil || n == 0 {
		return 0, err
	}
	verdicts := make([][]verdict, len(groups))
	var g errgroup.Group
	g.SetLimit(lookers)
	for i, gr := range groups {
		g.Go(func() error { verdicts[i] = ask(ctx, gr); return nil })
	}
	_ = g.Wait()
	r.conclude(ctx, slices.Concat(verdicts...))
	r.wake()
	return n, nil
}

// group is all messages of one round to one number.
type group struct {
	To       personal.Phone // exported, so that printing a group masks it
	messages []*Message
	siblings []*Attempt // attempts, of other messages of the same reservations, of which nothing is known yet
	read     reading    // when it was claimed
}

// reading is what the database's clock said at a moment, and goes on from there.
type reading struct{ at, here time.Time }

func readAt(at time.Time) reading { return reading{at, time.Now()} }

func (r reading) now() time.Time { return r.at.Add(time.Since(r.here)) }

// claim takes from the budget and leases as many messages, by number, with their attempts.
func (r *reconciler) claim(ctx context.Context, tx *sqldb.Tx, job Job, states []State) ([]group, int, error) {
	budget, err := bucket{"questions", r.policy.LooksPerSecond, max(2, r.policy.LooksPerSecond)}.lock(ctx, tx) // polls need half of it to be one
	if err != nil {
		return nil, 0, err
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return nil, 0, err
	}
	tokens := budget.at(now)
	may := tokens
	if job == Poll {
		may -= budget.burst / 2
	}
	if may < 1 {
		return nil, 0, nil
	}
	ms, err := pick(ctx, tx, job, min(int(may), lookClaim), states...)
	if err != nil || len(ms) == 0 {
		return nil, 0, err
	}
	if err := budget.leave(ctx, tx, tokens-float64(len(ms)), now); err != nil {
		return nil, 0, err
	}
	if err := lease(ctx, tx, ms, job, now.Add(r.policy.Lease)); err != nil {
		return nil, 0, err
	}
	if _, err := withAttempts(ctx, tx, ms); err != nil {
		return nil, 0, err
	}
	groups, err := r.byNumber(ctx, tx, ms)
	for i := range groups {
		groups[i].read = readAt(now)
	}
	return groups, len(ms), err
}

// byNumber groups messages by where they go. A reservation that is gone has no number; its texts cannot be looked up.
func (r *reconciler) byNumber(ctx context.Context, tx *sqldb.Tx, ms []*Message) ([]group, error) {
	reservations := make([]string, 0, len(ms))
	for _, m := range ms {
		reservations = append(reservations, m.ReservationID)
	}
	appointments, err := r.directory(ctx, tx, reservations, false)
	if err != nil {
		return nil, err
	}
	siblings, err := undecided(ctx, tx, ms)
	if err != nil {
		return nil, err
	}
	byPhone := map[[sha256.Size]byte]*group{}
	var groups []*group
	for _, m := range ms {
		to := appointments[m.ReservationID].sentTo(m)
		key := sha256.Sum256([]byte(to.Reveal()))
		g := byPhone[key]
		if g == nil {
			g = &group{To: to}
			byPhone[key] = g
			groups = append(groups, g)
		}
		g.messages = append(g.messages, m)
		for _, a := range siblings[m.ReservationID] {
			if !slices.ContainsFunc(g.siblings, func(b *Attempt) bool { return b.Token == a.Token }) {
				g.siblings = append(g.siblings, a)
			}
		}
	}
	out := make([]group, len(groups))
	for i, g := range groups {
		out[i] = *g
	}
	return out, nil
}

// look asks the provider's list for the unknown attempts of the messages to one number.
func (r *reconciler) look(ctx context.Context, g group) (out []verdict) {
	asked := r.now()
	proved, whole, err := r.prove(ctx, g)
	sabotage.Point("reconciler.after_look")
	if err != nil {
		r.log.Warn("cannot look up unknown outcomes", "count", len(g.messages), "error", err)
	}
	for _, m := range g.messages {
		switch {
		case proved[m.ID]:
			r.metrics.looks.WithLabelValues("found").Inc()
		case whole:
			r.metrics.looks.WithLabelValues("missed").Inc()
			// The other questions of the round may take a while: what counts is when this list was read.
			out = append(out, verdict{m.ID, m, func(m *Message, now time.Time, p Policy) {
				m.missed(now, now.Add(-r.now().Sub(asked)), p)
			}})
		default:
			r.metrics.looks.WithLabelValues("error").Inc()
			out = append(out, verdict{m.ID, m, (*Message).lookFailed})
		}
	}
	return out
}

// poll asks for the receipts of messages to one number that the provider has taken and nobody confirmed, and, where an
// earlier attempt was given up as unknown, whether that arrived as well.
func (r *reconciler) poll(ctx context.Context, g group) (out []verdict) {
	doubtful := group{To: g.To, siblings: g.siblings, read: g.read}
	for _, m := range g.messages {
		if m.unknowns() > 0 {
			doubtful.messages = append(doubtful.messages, m)
		}
		step := (*Message).polled
		if m.State != StateDelivered && !r.fetch(ctx, m) {
			step = (*Message).pollFailed
		}
		out = append(out, verdict{m.ID, m, step})
	}
	if len(doubtful.messages) > 0 {
		if _, _, err := r.prove(ctx, doubtful); err != nil {
			r.log.Warn("cannot look for a second copy", "count", len(doubtful.messages), "error", err)
		}
	}
	return out
}

// fetch asks for one text by its id, and records what the provider says of it; false when that could not be found out.
func (r *reconciler) fetch(ctx context.Context, m *Message) (told bool) {
	told = true
	for _, a := range m.log {
		if a.SID == nil || a.State != AttemptAccepted && a.State != AttemptSent {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, min(askTime, r.policy.Deadline))
		s, err := r.provider.Fetch(ask, *a.SID)
		cancel()
		result := "same"
		switch {
		case errors.Is(err, ErrNoSuchText):
			r.log.Error("the provider does not know a text that it had accepted", "message_id", m.ID, "attempt", a.Token)
			result = "gone"
		case err != nil:
			r.log.Warn("cannot ask for a receipt", "message_id", m.ID, "error", err)
			result, told = "error", false
		case !KnownStatus(s.Status):
			result = "unreadable"
		case attemptOf[s.Status].rank() > a.State.rank():
			result = "news"
			err = r.recorder.Receive(ctx, Receipt{Token: a.Token, SID: s.SID, Status: s.Status, ErrorCode: s.ErrorCode,
				Disposition: s.Disposition, FromList: true})
			if err != nil {
				r.log.Error("cannot record a receipt; it is asked for again", "message_id", m.ID, "error", err)
				told = false
			}
		}
		r.metrics.polls.WithLabelValues(result).Inc()
	}
	return told
}

// conclude applies to messages, as they are now, what questions told of them: all in one transaction. Who asked or tried since,
// after our lease, knows better; evidence that came meanwhile is for the steps themselves to see.
func (r *reconciler) conclude(ctx context.Context, verdicts []verdict) {
	if len(verdicts) == 0 {
		return
	}
	ids := make([]string, 0, len(verdicts))
	for _, v := range verdicts {
		ids = append(ids, v.id)
	}
	var done tally
	err := r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		done = tally{}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		ms, err := load(ctx, tx, ids)
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			m := ms[v.id]
			if m != nil && m.Looks == v.seen.Looks && m.Polls == v.seen.Polls && m.Attempts == v.seen.Attempts {
				before := progressOf(m)
				v.step(m, now, r.policy)
				done.count(before, m, now)
			}
		}
		return save(ctx, tx, ms)
	})
	switch {
	case err == nil:
		r.metrics.add(done)
	case ctx.Err() == nil:
		r.log.Error("cannot record what look-ups told; they will be repeated", "count", len(verdicts), "error", err)
	}
}

// prove reads the number's list and records which of the group's unknown attempts it shows. whole says that the list was read
// to its end, so that what it does not show may be called missed.
//
// A text proves an attempt if it says exactly the same, was created no earlier than the attempt's request, and belongs to no
// other attempt. Attempts of the same words are indistinguishable but for their times, so a text is that of the attempt which
// began nearest to its creation, also when that is another message's: an older copy does not prove a newer text, and an older
// attempt that never got through does not take a newer one's text away. Attempts of the same words are a minute apart or more,
// and clocks that are set are not.
func (r *reconciler) prove(ctx context.Context, g group) (proved map[string]bool, whole bool, err error) {
	open := slices.Clone(g.siblings)
	for _, m := range g.messages {
		for _, a := range m.log {
			if a.State == AttemptUnknown || a.State == AttemptOpen {
				open = append(open, a)
			}
		}
	}
	if len(open) == 0 || g.To == "" {
		return nil, false, nil
	}
	slices.SortFunc(open, func(a, b *Attempt) int { return a.StartedAt.Compare(b.StartedAt.Time) })
	open = slices.CompactFunc(open, func(a, b *Attempt) bool { return a.Token == b.Token })
	ask, cancel := context.WithTimeout(ctx, min(askTime, r.policy.Deadline))
	found, err := r.provider.Find(ask, g.To, open[0].StartedAt.Add(-listDepth), g.read.now())
	cancel()
	proved, whole = map[string]bool{}, err == nil
	done, gone := map[string]bool{}, map[string]bool{} // attempts that have their text, and texts that have their attempt
	for _, p := range pairs(open, found) {
		if done[p.attempt.Token] || gone[p.text.SID] {
			continue
		}
		hit, taken, stored := r.record(ctx, p)
		done[p.attempt.Token], gone[p.text.SID] = hit || !stored, taken
		if hit && p.attempt.State != AttemptOpen {
			proved[p.attempt.MessageID] = true
		}
		whole = whole && stored // what may be there and could not be recorded is not missed for sure
	}
	return proved, whole, err
}

// pair is an attempt and a text that can be its own.
type pair struct {
	attempt *Attempt
	text    Sighting
}

// pairs are all of them, the nearest in time first.
func pairs(open []*Attempt, found []Sighting) (out []pair) {
	for _, s := range found {
		hash := sha256.Sum256([]byte(s.Body))
		for _, a := range open {
			if string(hash[:]) == string(a.BodyHash) && !s.Created.Before(a.StartedAt.Add(-listSlack)) && KnownStatus(s.Status) {
				out = append(out, pair{a, s})
			}
		}
	}
	slices.SortStableFunc(out, func(p, q pair) int {
		return cmp.Or(cmp.Compare(p.apart(), q.apart()), p.attempt.StartedAt.Compare(q.attempt.StartedAt.Time), p.text.Created.Compare(q.text.Created))
	})
	return out
}

// apart is the time between the beginning of the attempt and the creation of the text.
func (p pair) apart() time.Duration { return p.text.Created.Sub(p.attempt.StartedAt.Time).Abs() }

// record gives the attempt its text: hit. An attempt that is still in flight takes its text, too, but nothing is recorded: its
// own answer says it better. taken says that the text is somebody's, perhaps another attempt's than was thought.
func (r *reconciler) record(ctx context.Context, p pair) (hit, taken, stored bool) {
	if p.attempt.State == AttemptOpen {
		return true, true, true
	}
	err := r.recorder.Receive(ctx, Receipt{Token: p.attempt.Token, SID: p.text.SID, Status: p.text.Status, ErrorCode: p.text.ErrorCode,
		Disposition: p.text.Disposition, FromList: true})
	switch {
	case err == nil:
		return true, true, true
	case errors.Is(err, ErrForeign): // another attempt's
		return false, true, true
	}
	r.log.Error("cannot record a look-up; it will be repeated", "message_id", p.attempt.MessageID, "error", err)
	return false, false, false
}
