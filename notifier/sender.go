package notifier

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"ansim/schema/sqldb"
)

const (
	// longestValidity is how long the provider may try at most; a text about an appointment is stale later than that.
	longestValidity = 4 * time.Hour
	// idlePoll is how often the sender asks the database when nothing woke it: for messages of other processes and for
	// pauses that end.
	idlePoll = 100 * time.Millisecond
	// hiccup is how long a request that certainly was not sent is tried again inside its slot.
	hiccup = 3 * time.Second
	// longestSlowdown bounds what a Retry-After may ask of the whole sender.
	longestSlowdown = time.Minute
)

// errRest makes the sender rest: the provider will not take the next text either.
var errRest = errors.New("not now")

// sender claims messages, commits attempts and asks the provider.
type sender struct {
	db        *sqldb.DB
	directory Directory
	provider  Provider
	recorder  *Recorder
	policy    Policy
	metrics   *Metrics
	log       *slog.Logger

	wake  chan struct{}
	slots chan struct{} // a token for each request under way

	away atomic.Bool // the last request did not reach the provider

	mu      sync.Mutex
	until   time.Time // the sender rests until then
	probing bool      // the provider refused our account: one text at a time, until one is not refused for that
}

// request is one attempt that is committed and about to be made.
type request struct {
	messageID string
	text      Text
}

// run sends until ctx ends; then it starts nothing more, gives back what it claimed, and waits for the requests under way,
// which hard cuts.
func (s *sender) run(ctx, hard context.Context) {
	var flights sync.WaitGroup
	defer flights.Wait()
	var queue []*Message
	defer func() { s.release(hard, queue) }()
	for ctx.Err() == nil {
		if len(queue) == 0 {
			if queue = s.refill(ctx); len(queue) == 0 {
				continue
			}
		}
		n := s.acquire(ctx, min(len(queue), s.policy.Slots))
		if n == 0 {
			return
		}
		if s.isProbing() {
			for ; n > 1; n-- {
				<-s.slots
			}
		}
		picked := queue[:n]
		queue = queue[n:]
		began := time.Now()
		requests, err := s.begin(ctx, picked)
		if sqldb.IsRefusedData(err) {
			requests, err = s.beginEach(ctx, picked), nil
		}
		if err != nil {
			// To begin again is safe also when the COMMIT did happen: such a message is no longer pending, and its open
			// attempt becomes unknown when its lease ends.
			s.log.Error("cannot begin attempts", "count", n, "error", err)
			requests, queue = nil, append(picked, queue...)
			s.rest(time.Second)
		}
		for range n - len(requests) {
			<-s.slots
		}
		for _, r := range requests {
			flights.Go(func() { s.fly(hard, r, began) })
		}
		if s.isProbing() {
			flights.Wait()
		}
	}
}

// refill claims what is due, or waits until something may be.
func (s *sender) refill(ctx context.Context) []*Message {
	wait := idlePoll
	if rest := s.resting(); rest > 0 {
		wait = rest
	} else {
		token := newToken()
		var ms []*Message
		err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			ms, err = claim(ctx, tx, Pending, token, s.policy.Claim, s.policy.Lease)
			return err
		})
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.Error("cannot claim messages", "error", err)
			wait = time.Second
		case len(ms) > 0:
			return ms
		}
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-t.C:
	}
	return nil
}

// acquire takes at least one slot, waiting for it, and at most n.
func (s *sender) acquire(ctx context.Context, n int) int {
	if d := s.resting(); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return 0
		case <-t.C:
		}
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for got := 1; got < n; got++ {
		select {
		case s.slots <- struct{}{}:
		default:
			return got
		}
	}
	return n
}

// begin commits an attempt for each message that is still ours and still to be sent, having read its reservation in the
// same transaction and kept it from changing. What is no longer to be sent gets its last state.
func (s *sender) begin(ctx context.Context, picked []*Message) ([]request, error) {
	var requests []request
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		requests = nil
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		var ids, reservations []string
		for _, m := range picked {
			ids = append(ids, m.ID)
		}
		ms, err := load(ctx, tx, ids)
		if err != nil {
			return err
		}
		for _, m := range ms {
			reservations = append(reservations, m.ReservationID)
		}
		appointments, err := s.directory(ctx, tx, reservations, true)
		if err != nil {
			return err
		}
		for _, p := range picked {
			m := ms[p.ID]
			if m == nil || m.State != Pending || m.LeaseToken != p.LeaseToken {
				continue // somebody else's by now, or decided by evidence
			}
			if r, ok := s.beginOne(m, appointments, now); ok {
				requests = append(requests, r)
			}
		}
		return save(ctx, tx, ms)
	})
	return requests, err
}

// beginEach begins messages one by one, after the database refused what one of them holds: that one stays claimed, and is
// tried again when its lease has run out, while its neighbours go out.
func (s *sender) beginEach(ctx context.Context, picked []*Message) []request {
	var requests []request
	for _, m := range picked {
		one, err := s.begin(ctx, []*Message{m})
		if err != nil {
			s.log.Error("cannot begin an attempt", "message_id", m.ID, "reservation_id", m.ReservationID, "error", err)
		}
		requests = append(requests, one...)
	}
	return requests
}

func (s *sender) beginOne(m *Message, appointments map[string]Appointment, now time.Time) (request, bool) {
	a, ok := appointments[m.ReservationID]
	if !ok {
		m.finish(StateHeld, ReasonNoReservation)
		return request{}, false
	}
	if why := a.refusal(m, now); why != "" {
		m.finish(StateSuppressed, why)
		return request{}, false
	}
	if m.stale(now) {
		m.lookAgain(now, s.policy)
		return request{}, false
	}
	body, err := guardedBody(a, m)
	if err != nil {
		s.log.Error("cannot render a text", "message_id", m.ID, "reservation_id", m.ReservationID, "kind", m.Kind)
		m.finish(StateHeld, ReasonCannotRender)
		return request{}, false
	}
	token, hash := newToken(), sha256.Sum256([]byte(body))
	m.begin(token, hash[:], now, now.Add(s.policy.Lease))
	return request{messageID: m.ID, text: Text{To: a.phone(m.Recipient), Body: body, Token: token,
		Valid: min(longestValidity, a.StartsAt.Sub(now))}}, true
}

// guardedBody renders, and takes a panic for what it is: a text that cannot be rendered.
func guardedBody(a Appointment, m *Message) (body string, err error) {
	defer func() {
		if recover() != nil { // the value may hold anything
			err = errors.New("rendering panicked")
		}
	}()
	return a.body(m)
}

// fly makes one request and records what it showed. began is from before the attempt's transaction, so the deadline, by the
// process's monotonic clock, ends before the lease does by the database's.
func (s *sender) fly(hard context.Context, r request, began time.Time) {
	ctx, cancel := context.WithDeadline(hard, began.Add(s.policy.Deadline))
	o := s.ask(ctx, r)
	cancel()
	<-s.slots
	s.metrics.requests.WithLabelValues(string(o.Class)).Inc()
	s.away.Store(o.Class == NotSent && !o.Throttled)
	refused := o.Class == Rejected && o.Disposition == Configuration
	if refused || o.Class == Accepted || o.Class == Rejected {
		s.probe(refused)
	}
	switch {
	case o.Throttled:
		s.rest(min(max(o.RetryAfter, 200*time.Millisecond), longestSlowdown))
	case refused:
		s.log.Error("the provider refuses our account or settings; sending rests", "code", o.Code, "http_status", o.HTTPStatus,
			"pause", s.policy.ConfigurationPause, "do", "check the TWILIO_ settings and the account")
		s.rest(s.policy.ConfigurationPause)
	case o.Class != Accepted:
		s.log.Info("a text was not accepted", "message_id", r.messageID, "class", o.Class, "detail", o.Detail,
			"code", o.Code, "http_status", o.HTTPStatus)
	}
	s.record(hard, r, o)
}

// ask makes the request. One that certainly was not sent, because the network hiccuped, is made again for a few seconds.
func (s *sender) ask(ctx context.Context, r request) (o Outcome) {
	// Written after the last look, a request could outlive its lease; so the look is as late as it can be.
	if ctx.Err() != nil {
		return Outcome{Class: NotSent, Detail: "too-late"}
	}
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(hiccup))
	_ = backoff.Retry(func() error {
		o = s.send(ctx, r.text)
		if o.Class == NotSent && !o.Throttled {
			return errRest
		}
		return nil
	}, backoff.WithContext(policy, ctx))
	return o
}

// send shields the sender from a provider that panics: what happened to the text is then unknown.
func (s *sender) send(ctx context.Context, t Text) (o Outcome) {
	defer func() {
		if recover() != nil { // the value may hold anything
			s.log.Error("the provider's client panicked")
			o = Outcome{Class: Unknown, Detail: "panic"}
		}
	}()
	return s.provider.Send(ctx, t)
}

// record stores an outcome. While the database is away it keeps trying for as long as the lease may last; after that the
// attempt is unknown to everybody, and is looked up.
func (s *sender) record(hard context.Context, r request, o Outcome) {
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(s.policy.Lease))
	err := backoff.Retry(func() error {
		err := s.recorder.record(context.Background(), evidence{token: r.text.Token, outcome: &o})
		if errors.Is(err, ErrForeign) || errors.Is(err, ErrUnknownAttempt) || errors.Is(err, sqldb.ErrStopped) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(policy, hard))
	if err != nil {
		s.log.Error("an outcome could not be recorded; it will be looked up", "message_id", r.messageID, "class", o.Class,
			"error", err)
	}
}

// release gives back claims that were not begun, so that another process need not wait for their leases.
func (s *sender) release(ctx context.Context, queue []*Message) {
	if len(queue) == 0 {
		return
	}
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		var ids []string
		for _, m := range queue {
			ids = append(ids, m.ID)
		}
		ms, err := load(ctx, tx, ids)
		if err != nil {
			return err
		}
		for _, q := range queue {
			if m := ms[q.ID]; m != nil && m.State == Pending && m.LeaseToken == q.LeaseToken {
				m.wait(now, 0, m.Reason)
			}
		}
		return save(ctx, tx, ms)
	})
	if err != nil {
		s.log.Warn("claims could not be given back; they run out by themselves", "count", len(queue), "error", err)
	}
}

// rest keeps the sender from starting anything for d.
func (s *sender) rest(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := time.Now().Add(d); until.After(s.until) {
		s.until = until
	}
	s.metrics.paused.Set(1)
}

func (s *sender) probe(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probing = on
}

func (s *sender) isProbing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.probing
}

func (s *sender) resting() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := time.Until(s.until)
	if d <= 0 {
		s.metrics.paused.Set(0)
	}
	return d
}
