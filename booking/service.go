package booking

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"ansim/schema/sqldb"
)

// Options are the parts of NewService that have sensible defaults.
type Options struct {
	Log       *slog.Logger // default: none
	MaxBatch  int          // most requests in one transaction; default 256
	Queue     int          // most requests waiting, beyond them ErrOverloaded; default 4096
	Committed func()       // called after each commit that appended to the outbox, to wake the relay; may be nil
	// Look reads how the texts of reservations stand. With nil they all count as on their way, and a resend is refused
	// unless it is asked for on the risk of a second copy.
	Look TextLook

	// Now is the clock by which failed lookups are forgotten; default time.Now. All else goes by the database's.
	Now func() time.Time

	began func() // tests: a batch has been taken up
}

const (
	// keyWait is how long a request waits for another one with its idempotency key that is under way in this process.
	keyWait = time.Second
	// batchTime bounds one batch, with the repeats that a failure may need: a lock that somebody holds longer fails the
	// requests, and their clients come again with the same keys.
	batchTime = 25 * time.Second
)

// Service books, changes and cancels reservations, and asks for texts again. All its writes go through one writer.
type Service struct {
	db      *sqldb.DB
	ids     *Identities
	opts    Options
	writer  *sqldb.Batcher[*request, answer]
	free    freeSlots // used by the writer alone
	lookups *lookupLimits

	mu     sync.Mutex
	flying map[flight]chan struct{} // closed when the request with that key is answered
}

// flight names a request under way: the scope in which an idempotency key is one request.
type flight struct{ keyID, route, key string }

// request is one call on its way through the writer.
type request struct {
	call     Call
	book     *BookRequest // of a booking
	identity []byte       // hash, of a booking
	resend   *ResendOrder // of a resend
	moveTo   string       // the slot that a reservation is to move to
	correct  *Correction  // of a correction; with none of these it is a cancellation
	targetID string       // the reservation that is changed or whose texts are sent again; "" is no reservation's
	ifMatch  int
	landed   func() // frees the key for those who wait
}

// slotID is the slot in which the request asks for a place.
func (r *request) slotID() string {
	if r.book != nil {
		return r.book.SlotID
	}
	return r.moveTo
}

// answer is how the writer answers a request: with an outcome, or with an error that is this request's alone.
type answer struct {
	outcome
	err error
}

// NewService starts a service on db; Stop ends it.
func NewService(db *sqldb.DB, ids *Identities, opts Options) *Service {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.MaxBatch <= 0 {
		opts.MaxBatch = 256
	}
	if opts.Queue <= 0 {
		opts.Queue = 4096
	}
	if opts.Committed == nil {
		opts.Committed = func() {}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.began == nil {
		opts.began = func() {}
	}
	s := &Service{db: db, ids: ids, opts: opts, free: freeSlots{}, lookups: newLookupLimits(opts.Now), flying: map[flight]chan struct{}{}}
	s.writer = sqldb.NewBatcher(opts.MaxBatch, opts.Queue, s.run)
	return s
}

// Stop refuses new requests, finishes those that were taken, and returns when the last is answered. It may be called twice.
func (s *Service) Stop() { s.writer.Stop() }

// Waiting is how many requests are queued for the writer.
func (s *Service) Waiting() int { return s.writer.Waiting() }

// Book claims a place for a person. When it returns a Reply, the reservation and its event are committed. A refusal is a
// *Refusal; ErrKeyReused, ErrKeyInProgress and ErrOverloaded say that nothing was done. After any other error, among them
// the end of ctx, the outcome is unknown: the same key finds it out.
func (s *Service) Book(ctx context.Context, call Call, req BookRequest) (Reply, error) {
	return s.do(ctx, &request{call: call, book: &req, identity: s.ids.hash(req.Identity)})
}

// Cancel frees the place of a reservation of the client's. ifMatch is the version that it must have, 0 for any. It may be
// cancelled until its slot begins. Errors are as those of Book.
func (s *Service) Cancel(ctx context.Context, call Call, reservationID string, ifMatch int) (Reply, error) {
	return s.do(ctx, aimed(&request{call: call, ifMatch: ifMatch}, reservationID))
}

// Reschedule moves a reservation of the client's to another slot of its programme: the new place is claimed and the old one freed
// in one commit, or nothing is changed. It needs what a booking of that slot needs at that moment, the window and the rules
// too. ifMatch is as for Cancel, and errors are as those of Book.
func (s *Service) Reschedule(ctx context.Context, call Call, reservationID, slotID string, ifMatch int) (Reply, error) {
	if slotID == "" {
		return Reply{}, ErrNoSlot
	}
	return s.do(ctx, aimed(&request{call: call, moveTo: slotID, ifMatch: ifMatch}, reservationID))
}

// Correct changes how the resident of a reservation of the client's is called and reached, until its slot begins: a new version,
// which is told to everybody whom it knows, at the new number. ifMatch is as for Cancel, and errors are as those of Book.
func (s *Service) Correct(ctx context.Context, call Call, reservationID string, c Correction, ifMatch int) (Reply, error) {
	return s.do(ctx, aimed(&request{call: call, correct: &c, ifMatch: ifMatch}, reservationID))
}

// Resend asks for the texts of a reservation of the client's again; see ResendOrder. Who asks is the client, and the
// cool-down is always kept. Errors are as those of Book; ErrCoolDown, ErrTextPending, ErrOutcomeUnknown and ErrNoBooker are
// refusals that are not remembered, so the same key may pass later.
func (s *Service) Resend(ctx context.Context, call Call, order ResendOrder) (Reply, error) {
	order.By, order.NoCoolDown = call.Client.asks(), false
	if err := order.normalize(); err != nil {
		return Reply{}, err
	}
	return s.do(ctx, aimed(&request{call: call, resend: &order}, order.ReservationID))
}

// aimed makes req one about a reservation. Which one, and which version of it, stands in the path and a header: they belong
// to what a key must repeat.
func aimed(req *request, reservationID string) *request {
	req.targetID, _ = parseID(reservationID) // what is no id is found nowhere
	h := sha256.New()
	h.Write(req.call.Fingerprint[:])
	h.Write([]byte(req.targetID))
	_ = binary.Write(h, binary.BigEndian, int64(req.ifMatch))
	h.Sum(req.call.Fingerprint[:0])
	return req
}

func (s *Service) do(ctx context.Context, req *request) (Reply, error) {
	if _, err := NormalizeKey(req.call.Key); err != nil {
		return Reply{}, err
	}
	landed, err := s.takeOff(ctx, flight{req.call.Client.KeyID, req.call.Route, req.call.Key})
	if err != nil {
		return Reply{}, err
	}
	// The writer frees the key, not this function, which may leave earlier when its caller hangs up.
	req.landed = landed
	a, err := s.writer.Do(ctx, req)
	switch {
	case errors.Is(err, sqldb.ErrOverloaded), errors.Is(err, sqldb.ErrStopped):
		landed()
		return Reply{}, ErrOverloaded
	case err != nil:
		return Reply{}, err
	case a.err != nil:
		return Reply{}, a.err
	case a.refusal != nil:
		return Reply{}, a.refusal
	}
	return a.reply, nil
}

// takeOff makes the caller the one request with its key, waiting up to keyWait for another. The function that it returns
// ends that and may be called twice.
func (s *Service) takeOff(ctx context.Context, f flight) (func(), error) {
	var timeout <-chan time.Time
	for {
		s.mu.Lock()
		other, busy := s.flying[f]
		if !busy {
			mine := make(chan struct{})
			s.flying[f] = mine
			s.mu.Unlock()
			return sync.OnceFunc(func() {
				s.mu.Lock()
				delete(s.flying, f)
				s.mu.Unlock()
				close(mine)
			}), nil
		}
		s.mu.Unlock()
		if timeout == nil {
			timer := time.NewTimer(keyWait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-other:
		case <-timeout:
			return nil, ErrKeyInProgress
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// run is the writer: it answers each of reqs. It never fails as a whole.
func (s *Service) run(ctx context.Context, reqs []*request) ([]answer, error) {
	defer func() {
		for _, r := range reqs {
			r.landed()
		}
	}()
	s.opts.began()
	ctx, cancel := context.WithTimeout(ctx, batchTime)
	defer cancel()
	answers, err := s.commit(ctx, reqs)
	if err == nil {
		return answers, nil
	}
	// One of them is more than the tables take. Alone each gets its own answer, and the others do not suffer for it.
	if len(reqs) > 1 && ctx.Err() == nil {
		s.opts.Log.Warn("a batch failed; its requests run one by one", "requests", len(reqs), "error", err)
		answers = make([]answer, 0, len(reqs))
		for _, r := range reqs {
			one, err := s.commit(ctx, []*request{r})
			if err != nil {
				s.opts.Log.Error("a request failed", "route", r.call.Route, "error", err)
				one = []answer{{err: err}}
			}
			answers = append(answers, one[0])
		}
		return answers, nil
	}
	s.opts.Log.Error("requests failed", "requests", len(reqs), "error", err)
	answers = make([]answer, len(reqs))
	for i := range answers {
		answers[i].err = err
	}
	return answers, nil
}
