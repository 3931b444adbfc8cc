package notifier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"ansim/schema/sqldb"
)

// ErrUnknownAttempt is returned for a receipt whose token is no attempt's.
var ErrUnknownAttempt = errors.New("no attempt has this token")

// ErrForeign is returned for a receipt whose message id belongs to another attempt, or is not the one that this attempt
// is known by.
var ErrForeign = errors.New("the receipt's message id is not this attempt's")

// Receipt is what the provider said of an attempt outside its answer.
type Receipt struct {
	Token     string // of the attempt
	SID       string // the provider's id of the text
	Status    string // the provider's word, one that KnownStatus knows
	ErrorCode int    // the provider's, 0 when none
	FromList  bool   // found by asking, not called back
	// Disposition is what ErrorCode means for a further attempt, "" when there is none.
	Disposition Disposition
}

// KnownStatus says whether the provider's word for a status is one that we understand.
func KnownStatus(status string) bool { _, ok := attemptOf[status]; return ok }

// evidence is one thing that became known about one attempt: an outcome or a receipt.
type evidence struct {
	token   string
	message string // the attempt's, when who hands it in knows
	outcome *Outcome
	receipt *Receipt
}

// Recorder applies evidence to messages: outcomes, receipts, look-ups. Calls that come while one transaction is under way
// share the next.
type Recorder struct {
	db      *sqldb.DB
	policy  Policy
	metrics *Metrics
	log     *slog.Logger
	batch   *sqldb.Batcher[evidence, error]
}

// NewRecorder starts a recorder; Stop ends it.
func NewRecorder(db *sqldb.DB, policy Policy, metrics *Metrics, log *slog.Logger) *Recorder {
	r := &Recorder{db: db, policy: policy.withDefaults(), metrics: metrics, log: log}
	r.batch = sqldb.NewBatcher(500, 20000, r.apply)
	return r
}

// Stop records what was handed in and ends.
func (r *Recorder) Stop() { r.batch.Stop() }

// Receive records a receipt; when it returns nil, the receipt is stored. A replay is stored already. Errors wrap
// ErrUnknownAttempt or ErrForeign; any other means that it should be handed in again.
func (r *Recorder) Receive(ctx context.Context, rc Receipt) error {
	if !KnownStatus(rc.Status) {
		return fmt.Errorf("receipt: the status is not one of the provider's")
	}
	return r.record(ctx, evidence{token: rc.Token, receipt: &rc})
}

func (r *Recorder) record(ctx context.Context, e evidence) error {
	refusal, err := r.batch.Do(ctx, e)
	if err != nil {
		return err
	}
	return refusal
}

// apply records a batch. When it fails as a whole its members go one by one, so that only the guilty one fails.
func (r *Recorder) apply(ctx context.Context, batch []evidence) ([]error, error) {
	out, err := r.applyOnce(ctx, batch)
	if err == nil || len(batch) == 1 || !sqldb.IsRefusedData(err) {
		return out, err
	}
	r.log.Warn("recording a batch failed; its members go one by one", "size", len(batch), "error", err)
	out = make([]error, len(batch))
	for i, e := range batch {
		if one, err := r.applyOnce(ctx, []evidence{e}); err != nil {
			out[i] = err
		} else {
			out[i] = one[0]
		}
	}
	return out, nil
}

func (r *Recorder) applyOnce(ctx context.Context, batch []evidence) ([]error, error) {
	var out []error
	var done tally
	err := r.db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		out, done = make([]error, len(batch)), tally{}
		return r.applyTx(ctx, tx, batch, out, &done)
	})
	if err != nil {
		return nil, err
	}
	r.metrics.add(done)
	return out, nil
}

func (r *Recorder) applyTx(ctx context.Context, tx *sqldb.Tx, batch []evidence, out []error, done *tally) error {
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	ownerOf, attempts, err := r.owners(ctx, tx, batch)
	if err != nil {
		return err
	}
	var ids []string
	for _, e := range batch {
		if a, found := attempts[e.token]; found && !e.known(a) {
			ids = append(ids, a.MessageID)
		}
	}
	ms, err := load(ctx, tx, ids)
	if err != nil {
		return err
	}
	receipts := newReceiptRows()
	for i, e := range batch {
		if e.known(attempts[e.token]) {
			receipts.add(*e.receipt, now)
			continue
		}
		m := ms[attempts[e.token].MessageID]
		if m == nil || m.attempt(e.token) == nil {
			out[i] = ErrUnknownAttempt
			continue
		}
		a := m.attempt(e.token)
		if sid := e.sid(); sid != "" {
			// The list may have given this text to another attempt of the same message: they look alike, and only the
			// provider's clock tells them apart. Then it stays that one's; what matters is that it is not lost. The list itself
			// proves nothing by a text that is known.
			if owner, taken := ownerOf[sid]; taken && owner != e.token && m.attempt(owner) != nil && !e.listed() {
				a = m.attempt(owner)
			} else if taken && owner != e.token || a.SID != nil && *a.SID != sid {
				out[i] = ErrForeign
				continue
			}
			ownerOf[sid] = a.Token
		}
		before := progressOf(m)
		if e.outcome != nil {
			m.outcome(a, *e.outcome, now, r.policy)
		} else {
			rc := *e.receipt
			m.evidence(a, attemptOf[rc.Status], rc, now, r.policy)
			rc.Token = a.Token
			receipts.add(rc, now)
		}
		done.count(before, m, now)
	}
	if err := receipts.insert(ctx, tx); err != nil {
		return err
	}
	return save(ctx, tx, ms)
}

// owners tells which attempts hold the SIDs of a batch, and what is recorded of its attempts. A sender knows its message,
// and its SID is fresh: the database need not be asked. Should the SID be another attempt's after all, because the list had
// shown it first, the unique key refuses the batch, and its members come again one by one, and are asked for.
func (r *Recorder) owners(ctx context.Context, tx *sqldb.Tx, batch []evidence) (ownerOf map[string]string, attempts map[string]owner, err error) {
	var tokens, sids []string
	told := make(map[string]owner, len(batch))
	for _, e := range batch {
		if e.message != "" && len(batch) > 1 {
			told[e.token] = owner{Token: e.token, MessageID: e.message}
			continue
		}
		tokens = append(tokens, e.token)
		if sid := e.sid(); sid != "" {
			sids = append(sids, sid)
		}
	}
	ownerOf, attempts = map[string]string{}, told
	if len(tokens) > 0 {
		if ownerOf, attempts, err = owners(ctx, tx, tokens, sids); err != nil {
			return nil, nil, err
		}
		for token, a := range told { // not what a receipt in the same batch found, whose moment is before
			attempts[token] = a
		}
	}
	return ownerOf, attempts, nil
}

// known says that e tells nothing new of an attempt: that the provider has taken it, which is recorded. Such a receipt, a quarter of
// what comes in, is stored without a look at the message.
func (e evidence) known(a owner) bool {
	return e.receipt != nil && attemptOf[e.receipt.Status] == AttemptAccepted && a.took(e.receipt.SID)
}

// listed says that e is a text that was found in the provider's list.
func (e evidence) listed() bool { return e.receipt != nil && e.receipt.FromList }

// sid is the provider's id that e ties to its attempt, "" when none.
func (e evidence) sid() string {
	if e.receipt != nil {
		return e.receipt.SID
	}
	return e.outcome.SID
}
