package notifier

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ansim/outbox"
	"ansim/schema/sabotage"
	"ansim/schema/sqldb"
	"ansim/schema/tracing"
)

const (
	// longestValidity is how long the provider may try at most; a text about an appointment is stale later than that.
	longestValidity = 4 * time.Hour
	// idlePoll is how often the sender asks the database when nothing woke it: for messages of other processes and for
	// pauses that end.
	idlePoll = 100 * time.Millisecond
	// frozenPoll is the time between looks whether sending is still frozen.
	frozenPoll = time.Second
	// behind is how soon a text is looked at again that waits for an earlier one to the same person.
	behind = 500 * time.Millisecond
)

// sender begins attempts for what is due and asks the provider.
//
// Picking a message and committing its attempt is one transaction, so nothing is claimed that is not under way: a process
// that dies leaves as many open attempts as it had slots, and nothing else waits for its return.
type sender struct {
	db        *sqldb.DB
	directory Directory
	render    renderer
	provider  Provider
	recorder  *Recorder
	policy    Policy
	metrics   *Metrics
	tracer    *tracing.Tracer
	log       *slog.Logger
	pace      *pacer
	meter     *meter

	wake  chan struct{}
	turns turns // whose turn it is; of the loop alone
}

// request is one attempt that is committed and about to be made.
type request struct {
	messageID string
	text      Text
	segments  int
	trace     string // the traceparent of what caused it; "" when nothing is traced
}

// run sends until ctx ends; then it starts nothing more and waits for the requests under way, which hard cuts.
func (s *sender) run(ctx, hard context.Context) {
	var flights sync.WaitGroup
	defer flights.Wait()
	s.metrics.Beat("send")
	for ctx.Err() == nil {
		n, round := s.pace.acquire(ctx, s.policy.Slots)
		if n == 0 {
			return
		}
		started := time.Now()
		// Not under ctx: a COMMIT that a stop cuts short would leave attempts that nobody makes.
		b, err := s.begin(hard, n)
		well := err == nil
		if sqldb.IsRefusedData(err) {
			b, well = s.beginEach(hard, n)
			err = nil
		}
		if well {
			s.metrics.Beat("send")
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("cannot begin attempts", "error", err)
			s.pace.hold(time.Second)
		}
		s.pace.release(n-len(b.requests), round)
		if len(b.requests) > 0 {
			sabotage.Point("sender.after_attempt")
		}
		for _, r := range b.requests {
			flights.Go(func() { s.fly(hard, r, round, started) })
		}
		switch {
		case b.wait > 0: // nothing else can be sent before there is budget for it
			pause(ctx, b.wait)
		case b.picked == 0:
			s.idle(ctx, idlePoll)
		}
	}
}

// begun is what one round of beginning brought.
type begun struct {
	requests []request
	picked   int           // messages that were due, also those that are not to be sent
	wait     time.Duration // until the budget of segments lets the next one through
}

// idle waits until something may be due.
func (s *sender) idle(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-t.C:
	}
}

// begin commits attempts for at most n of what is due. When the COMMIT leaves open whether it happened, the attempts are
// looked for: what is there was begun by us, and is ours to make.
func (s *sender) begin(ctx context.Context, n int) (b begun, err error) {
	var turns turns
	err = s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		turns = s.turns
		b, err = s.beginTx(ctx, tx, n, &turns)
		return err
	})
	if errors.Is(err, sqldb.ErrCommitUnknown) {
		b.requests, err = s.committed(ctx, b.requests)
	}
	if err != nil {
		return begun{}, err
	}
	s.turns = turns
	return b, nil
}

func (s *sender) beginTx(ctx context.Context, tx *sqldb.Tx, n int, turns *turns) (b begun, err error) {
	var budget filling // of segments; one without a rate limits nothing
	if rate := s.policy.SegmentsPerSecond; rate > 0 {
		if budget, err = (bucket{"segments", rate, rate}).lock(ctx, tx); err != nil {
			return b, err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return b, err
		}
		if b.wait = budget.wait(budget.at(now)); b.wait > 0 {
			return b, nil
		}
	}
	picked, err := s.next(ctx, tx, n, turns)
	if err != nil {
		return b, err
	}
	may, why, err := maySend(ctx, tx, len(picked) > 0)
	if why != "" {
		s.log.Error("sending is frozen: this database has another history than when the last text was sent; it was restored, or "+
			"a standby was promoted", "reason", why, "do", "see what README says of restoring, then `ansim resume`")
	}
	if err == nil && !may {
		b.wait = frozenPoll
	}
	if err != nil || !may || len(picked) == 0 {
		return b, err
	}
	found, err := s.read(ctx, tx, picked)
	if err != nil {
		return b, err
	}
	// Read again, now that everything is locked and looked at, however long that took: what was seen to have ended had ended before
	// this attempt begins. The budget goes by the same time, so that the rate holds for what is begun.
	now, err := tx.Later(ctx)
	if err != nil {
		return b, err
	}
	tokens := budget.at(now)
	for _, m := range picked {
		if budget.rate > 0 && tokens <= 0 {
			break // still due, for the next round
		}
		b.picked++
		if found.waiting[m.ID] {
			m.plan(Send, now.Add(behind))
			continue
		}
		if found.again[m.ID] {
			m.finish(StateSuppressed, ReasonSentAgain, now)
			continue
		}
		if r, ok := s.beginOne(m, found.appointments, now); ok {
			r.trace = found.traces[m.EventID]
			b.requests = append(b.requests, r)
			tokens -= float64(r.segments)
		}
	}
	if budget.rate > 0 {
		if err := budget.leave(ctx, tx, tokens, now); err != nil {
			return b, err
		}
		b.wait = budget.wait(tokens)
	}
	return b, save(ctx, tx, found.messages)
}

// next locks up to n messages that are due, by the turns of their classes.
func (s *sender) next(ctx context.Context, tx *sqldb.Tx, n int, turns *turns) ([]*Message, error) {
	queues, err := pickSend(ctx, tx, n)
	if err != nil {
		return nil, err
	}
	picked := make([]*Message, 0, n)
	for len(picked) < n {
		m := turns.next(&queues)
		if m == nil {
			break
		}
		picked = append(picked, m)
	}
	return picked, nil
}

// known is what has to be known of picked messages, which have their attempts.
type known struct {
	messages     map[string]*Message
	waiting      map[string]bool        // for earlier ones
	again        map[string]bool        // sent again on request meanwhile
	appointments map[string]Appointment // what they are about, kept from changing
	traces       map[string]string      // traceparents, by event
}

func (s *sender) read(ctx context.Context, tx *sqldb.Tx, picked []*Message) (k known, err error) {
	if k.messages, err = withAttempts(ctx, tx, picked); err != nil {
		return k, err
	}
	if k.waiting, err = blocked(ctx, tx, picked, s.policy.Looks[0]); err != nil {
		return k, err
	}
	if k.again, err = sentAgain(ctx, tx, picked); err != nil {
		return k, err
	}
	reservations, events := make([]string, 0, len(picked)), make([]string, 0, len(picked))
	for _, m := range picked {
		reservations, events = append(reservations, m.ReservationID), append(events, m.EventID)
	}
	if s.tracer.On() {
		if k.traces, err = outbox.Traceparents(ctx, tx, events); err != nil {
			return k, err
		}
	}
	k.appointments, err = s.directory(ctx, tx, reservations, true)
	return k, err
}

// committed says which of the requests have their attempts in the database, after a COMMIT whose outcome is unknown.
func (s *sender) committed(ctx context.Context, requests []request) ([]request, error) {
	if len(requests) == 0 {
		return nil, nil
	}
	there := map[string]owner{}
	err := s.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		tokens := make([]string, 0, len(requests))
		for _, r := range requests {
			tokens = append(tokens, r.text.Token)
		}
		_, there, err = owners(ctx, tx, tokens, nil)
		return err
	})
	if err != nil {
		return nil, err // if they were committed, their leases end, and they are looked up
	}
	var out []request
	for _, r := range requests {
		if _, found := there[r.text.Token]; found {
			out = append(out, r)
		}
	}
	s.log.Warn("it was unknown whether attempts had been committed", "count", len(requests), "committed", len(out))
	return out, nil
}

// beginEach begins messages one by one, after the database refused what one of them holds. The guilty one is set back, and
// is tried again later, while its neighbours go out.
func (s *sender) beginEach(ctx context.Context, n int) (all begun, well bool) {
	for range n {
		one, err := s.begin(ctx, 1)
		if sqldb.IsRefusedData(err) {
			err = s.setBack(ctx)
		}
		if err != nil {
			s.log.Error("cannot begin an attempt", "error", err)
			return all, false
		}
		all.requests = append(all.requests, one.requests...)
		all.picked += one.picked
	}
	return all, true
}

// setBack makes the message that is picked next due later.
func (s *sender) setBack(ctx context.Context) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		turns := s.turns
		guilty, err := s.next(ctx, tx, 1, &turns)
		if err != nil || len(guilty) == 0 {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		s.log.Error("the database refuses a text's attempt; it is tried again later", "message_id", guilty[0].ID,
			"reservation_id", guilty[0].ReservationID, "pause", s.policy.Lease)
		return lease(ctx, tx, guilty, Send, now.Add(s.policy.Lease))
	})
}

func (s *sender) beginOne(m *Message, appointments map[string]Appointment, now time.Time) (request, bool) {
	a, ok := appointments[m.ReservationID]
	if !ok {
		m.finish(StateHeld, ReasonNoReservation, now)
		return request{}, false
	}
	if why := a.refusal(m, now); why != "" {
		m.end(why, now)
		return request{}, false
	}
	if m.stale(now) {
		m.lookAgain(now, s.policy)
		return request{}, false
	}
	out, err := guardedText(s.render, a, m)
	if err != nil {
		s.log.Error("cannot render a text", "message_id", m.ID, "reservation_id", m.ReservationID, "kind", m.Kind)
		m.finish(StateHeld, ReasonCannotRender, now)
		return request{}, false
	}
	if m.Attempts > 0 {
		s.metrics.further.WithLabelValues(string(m.State)).Inc()
	}
	token, hash := newToken(), sha256.Sum256([]byte(out.Body))
	m.begin(token, hash[:], now, now.Add(s.policy.Lease))
	return request{messageID: m.ID, segments: out.Segments, text: Text{To: a.phone(m), Body: out.Body, Token: token,
		Valid: min(longestValidity, a.StartsAt.Sub(now))}}, true
}

// end gives up what is no longer to be sent. A text that was taken and did not arrive has failed; the others were not needed
// any more.
func (m *Message) end(why string, now time.Time) {
	if why == ReasonPast {
		for _, a := range slices.Backward(m.log) {
			if a.State.lost() {
				m.finish(StateFailed, errorReason(a.ErrorCode), now)
				return
			}
		}
	}
	m.finish(StateSuppressed, why, now)
}
