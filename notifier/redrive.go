package notifier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// ResendRequest asks for the text of one person once more, with a number of its own. It is about the current version of the
// reservation.
type ResendRequest struct {
	ReservationID string
	Recipient     event.Recipient
	Reason        string // "redrive: " and the cause
	By            string // as RedriveOrder has it
	// EvenIfUnknown: also when the last text may have arrived.
	EvenIfUnknown bool
	// Check is to be called in the transaction that writes the resend, once it holds the reservation's lock and before it
	// writes. Its error must undo the transaction. So of two redrives at once one finds what the other committed, and a repeat
	// after an unknown COMMIT finds its own.
	Check func(ctx context.Context, tx *sqldb.Tx) error
}

// ErrResendRefused is what Parked.Resend wraps when the text cannot be sent again, while others may be: what the error says
// is shown to people and counted, so it holds no ids. Any other error ends the redrive.
var ErrResendRefused = errors.New("the resend was refused")

// RedriveOrder says what to redrive, and how far.
type RedriveOrder struct {
	Select Selection
	// All must be said when Select names neither an id nor a cause: an empty one must not mean everything.
	All bool
	// Limit ends the redrive after so many that were redriven. 0: no limit. What was skipped or failed does not count, so
	// that a repeat with a limit always gets further.
	Limit int
	// DryRun changes nothing and says what would happen.
	DryRun bool
	// AcceptDuplicates redrives also texts of which it is unknown whether they arrived.
	AcceptDuplicates bool
	// EvenPermanent redrives what would fail again also when neither an id nor a cause was named.
	EvenPermanent bool
	// By is who asks: "redrive:" and a user of the machine.
	By string
	// Progress is called after each item, unless it is nil.
	Progress func(RedriveCounts)
	// Within is called in the transaction that redrives an item, and in no dry run, unless it is nil: so what a caller counts is
	// what was committed. Its error undoes the item and ends the redrive.
	Within func(ctx context.Context, tx *sqldb.Tx) error
}

// RedriveOutcome is what became of an item.
type RedriveOutcome string

// The outcomes of a redrive.
const (
	Redriven RedriveOutcome = "redriven" // in a dry run: it would be
	Skipped  RedriveOutcome = "skipped"
	Unmoved  RedriveOutcome = "failed" // it was tried, and is parked still
)

// Why an item is skipped, beside its standing.
const (
	SkippedMayHaveArrived = "may-have-arrived" // needs AcceptDuplicates
	SkippedPermanent      = "permanent"        // needs its id, its cause, or EvenPermanent
	SkippedGone           = "gone"             // another redrive, or evidence that came late, was quicker; see StandingSentAgain
)

// RedriveCounts is how far a redrive is.
type RedriveCounts struct {
	Redriven int64 `json:"redriven"`
	Skipped  int64 `json:"skipped"`
	Failed   int64 `json:"failed"`
}

// RedriveGroup is what became of the items of one cause.
type RedriveGroup struct {
	Kind    ParkedKind     `json:"kind"`
	Cause   string         `json:"cause"`
	Outcome RedriveOutcome `json:"outcome"`
	Why     string         `json:"why"` // of what was skipped or failed; of an event that had its texts already
	Count   int64          `json:"count"`
	// Permanent: these would fail again as they are.
	Permanent bool     `json:"permanent"`
	Examples  []string `json:"examples"` // ids, at most three
}

// NeedsFlag says whether these were skipped only because the order did not say that they are meant, too.
func (g RedriveGroup) NeedsFlag() bool {
	return g.Outcome == Skipped && (g.Why == SkippedMayHaveArrived || g.Why == SkippedPermanent)
}

// RedriveReport is what a redrive did, or in a dry run what it would do.
type RedriveReport struct {
	RedriveCounts
	DryRun bool `json:"dry_run"`
	// Interrupted: it ended before it was through; the same order again goes on where it stopped.
	Interrupted bool           `json:"interrupted"`
	Groups      []RedriveGroup `json:"groups"`
}

type redriveKey struct {
	kind    ParkedKind
	cause   string
	outcome RedriveOutcome
	why     string
}

// errWhich: an order must be clear about what it means.
var errWhich = errors.New("a redrive is of an id, of a cause, or of all, and of one of these only")

// redrive is one run.
type redrive struct {
	*Parked
	RedriveOrder
	report RedriveReport
	groups map[redriveKey]*RedriveGroup
}

// Redrive takes parked events in again and asks for parked texts again, one item a transaction. When ctx ends it finishes
// the item that it is at, and no more; the report then says Interrupted, and the error is ctx's. It may be repeated, and run
// twice at once: what was redriven is not parked any more, which is looked at again in the transaction that redrives. An
// error other than ErrNotParked comes with the report of what was done until then.
func (p *Parked) Redrive(ctx context.Context, order RedriveOrder) (RedriveReport, error) {
	if order.All == order.Select.named() {
		return RedriveReport{}, errWhich
	}
	r := &redrive{Parked: p, RedriveOrder: order, groups: map[redriveKey]*RedriveGroup{}}
	err := p.walk(ctx, order.Select, func(it ParkedItem) (bool, error) {
		// What has begun is finished: a transaction is short, and so nothing is left in between.
		if err := r.one(context.WithoutCancel(ctx), it); err != nil {
			return false, err
		}
		if order.Progress != nil {
			order.Progress(r.report.RedriveCounts)
		}
		return order.Limit <= 0 || r.report.Redriven < int64(order.Limit), nil
	})
	r.report.DryRun = order.DryRun
	r.report.Interrupted = err != nil && !errors.Is(err, ErrNotParked)
	r.report.Groups = make([]RedriveGroup, 0, len(r.groups))
	for _, g := range r.groups {
		r.report.Groups = append(r.report.Groups, *g)
	}
	slices.SortFunc(r.report.Groups, func(a, b RedriveGroup) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Cause, b.Cause),
			cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Why, b.Why))
	})
	return r.report, err
}

// one redrives one item and counts what became of it.
func (r *redrive) one(ctx context.Context, it ParkedItem) error {
	if skip := r.skip(it); skip != "" {
		r.count(it, Skipped, skip)
		return nil
	}
	if it.Kind == ParkedEvents {
		return r.event(ctx, it)
	}
	return r.text(ctx, it)
}

// skip says why it is not to be redriven, "" when it is.
func (r *redrive) skip(it ParkedItem) string {
	switch {
	case it.Standing != StandingOpen:
		return string(it.Standing)
	case it.MayHaveArrived && !r.AcceptDuplicates:
		return SkippedMayHaveArrived
	case it.Permanent && !r.Select.named() && !r.EvenPermanent:
		return SkippedPermanent
	}
	return ""
}

func (r *redrive) event(ctx context.Context, it ParkedItem) error {
	made, err := r.redriveEvent(ctx, it.ID, r.DryRun, r.within)
	var still unusable
	switch {
	case errors.Is(err, ErrNotParked):
		r.count(it, Skipped, SkippedGone)
	case errors.As(err, &still):
		r.count(it, Unmoved, string(still))
	case err != nil:
		return fmt.Errorf("redrive event %s: %w", it.ID, err)
	case made == 0:
		r.count(it, Redriven, "its texts are there already")
	default:
		r.count(it, Redriven, "")
	}
	return nil
}

// errNoResend: the caller did not say how a text is asked for again.
var errNoResend = errors.New("this program has no way to ask for a text again; redrive events alone, with their kind")

// errNotMeant is what a check ends a resend with.
var errNotMeant = errors.New("the text is not to be sent again any more")

func (r *redrive) text(ctx context.Context, it ParkedItem) error {
	if r.DryRun {
		r.count(it, Redriven, "")
		return nil
	}
	if r.Resend == nil {
		return errNoResend
	}
	skip := ""
	err := r.Resend(ctx, ResendRequest{
		ReservationID: it.ReservationID, Recipient: it.Recipient, Reason: "redrive: " + it.Cause, By: r.By,
		EvenIfUnknown: it.MayHaveArrived,
		Check: func(ctx context.Context, tx *sqldb.Tx) error {
			skip = SkippedGone
			now, err := r.readParkedTexts(ctx, tx, Selection{ID: it.ID}, firstMessage, 1)
			if err != nil {
				skip = ""
				return err
			}
			if len(now) == 1 {
				skip = r.skip(now[0])
			}
			if skip != "" {
				return errNotMeant
			}
			return r.within(ctx, tx)
		}})
	switch {
	case err == nil:
		r.count(it, Redriven, "")
	case skip != "":
		r.count(it, Skipped, skip)
	case errors.Is(err, ErrResendRefused):
		r.count(it, Unmoved, err.Error())
	default:
		return fmt.Errorf("redrive text %s: %w", it.ID, err)
	}
	return nil
}

func (r *redrive) within(ctx context.Context, tx *sqldb.Tx) error {
	if r.Within == nil {
		return nil
	}
	return r.Within(ctx, tx)
}

func (r *redrive) count(it ParkedItem, o RedriveOutcome, why string) {
	switch o {
	case Redriven:
		r.report.Redriven++
	case Skipped:
		r.report.Skipped++
	case Unmoved:
		r.report.Failed++
	}
	k := redriveKey{it.Kind, it.Cause, o, why}
	g := r.groups[k]
	if g == nil {
		g = &RedriveGroup{Kind: it.Kind, Cause: it.Cause, Outcome: o, Why: why, Permanent: it.Permanent, Examples: []string{}}
		r.groups[k] = g
	}
	g.Count++
	if len(g.Examples) < maxExamples {
		g.Examples = append(g.Examples, it.ID)
	}
}
