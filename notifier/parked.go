package notifier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// ParkedKind is a kind of what cannot go on by itself.
type ParkedKind string

// The kinds of what is parked.
const (
	// ParkedEvents are records that the intake could not use, and outbox rows that the sweeper set aside.
	ParkedEvents ParkedKind = "events"
	// ParkedTexts are held and failed messages after which nobody has asked for the text again.
	ParkedTexts ParkedKind = "texts"
)

// Standing says whether something parked still needs anybody.
type Standing string

// The standings. Only what is open can be redriven; of the others nobody has to do anything, but orphans are worth a look.
const (
	StandingOpen       Standing = "open"
	StandingSuperseded Standing = "superseded"     // a later version of the reservation has texts of its own
	StandingPast       Standing = "past"           // the appointment is over
	StandingSentAgain  Standing = "sent-again"     // somebody asked for the text again: no longer parked, so only an id finds it
	StandingOrphan     Standing = "no-reservation" // the reservation does not exist
)

// ParkedItem is one event or text that cannot go on by itself. It holds nothing personal.
type ParkedItem struct {
	Kind  ParkedKind
	ID    string // of the message (a UUID), or of the parked event (64 hex digits)
	Cause string // the reason that was stored with it
	Since time.Time
	// Permanent: sending the text again as it is would fail in the same way. The number, or the person's mind, must change.
	Permanent bool
	// MayHaveArrived: it is unknown whether the text arrived, so that a redrive may put a second copy on the phone.
	MayHaveArrived bool
	Standing       Standing

	// Of a text.
	ReservationID string
	Version       int
	Recipient     event.Recipient
	Resend        int
}

// Selection says which of what is parked is meant: all, unless something is named.
type Selection struct {
	Kind  ParkedKind // "" means both
	ID    string     // one item; it may then be any cause
	Cause string     // one cause, exactly as it is listed
}

// named says whether an id or a cause is.
func (s Selection) named() bool { return s.ID != "" || s.Cause != "" }

func (s Selection) has(k ParkedKind) bool { return s.Kind == "" || s.Kind == k }

// ErrNotParked says that nothing is parked under the id that was asked for. It may have been redriven already.
var ErrNotParked = errors.New("nothing is parked under this id; it may have been redriven already")

// Parked lists and redrives what cannot go on by itself.
type Parked struct {
	DB        *sqldb.DB
	Directory Directory
	// Permanent says whether a text that failed for this reason would fail again. Nil: none would.
	Permanent func(reason string) bool
	// Explain says in both languages what the reason of a text means, "" when it does not know. Nil: it never does.
	Explain func(reason string) (ko, en string)
	// Resend asks for a text again; see ResendRequest. It is needed for redriving texts only.
	Resend func(ctx context.Context, r ResendRequest) error
	// Page is how many items one transaction reads. Default 1000, which bounds the memory however many are parked; on SQLite
	// at most 10,000.
	Page int
}

func (p *Parked) page() int {
	if p.Page <= 0 {
		return 1000
	}
	return p.Page
}

// ParkedCause is what is parked for one reason.
type ParkedCause struct {
	Kind     ParkedKind `json:"kind"`
	Cause    string     `json:"cause"`
	Standing Standing   `json:"standing"`
	Count    int64      `json:"count"`
	Oldest   time.Time  `json:"oldest"` // since when the one that has waited longest is parked
	Newest   time.Time  `json:"newest"`
	Examples []string   `json:"examples"` // ids, at most three
	Why      Sentences  `json:"why"`
	// Permanent: see ParkedItem.
	Permanent bool `json:"permanent"`
	// MayHaveArrived is how many may have arrived all the same; see ParkedItem.
	MayHaveArrived int64 `json:"may_have_arrived"`
}

// Sentences say something to people in both languages; "" where there is nothing to say.
type Sentences struct {
	Ko string `json:"ko"`
	En string `json:"en"`
}

// maxExamples is how many ids a group names.
const maxExamples = 3

// List groups what is parked by its cause: events before texts, what is open before what needs nobody, more before fewer. It
// reads in pages, each in a transaction of its own, so it is not one snapshot: what changes meanwhile is counted as it is
// found.
func (p *Parked) List(ctx context.Context, sel Selection) ([]ParkedCause, error) {
	type key struct {
		kind     ParkedKind
		cause    string
		standing Standing
	}
	groups := map[key]*ParkedCause{}
	err := p.walk(ctx, sel, func(it ParkedItem) (bool, error) {
		k := key{it.Kind, it.Cause, it.Standing}
		g := groups[k]
		if g == nil {
			g = &ParkedCause{Kind: it.Kind, Cause: it.Cause, Standing: it.Standing, Oldest: it.Since, Newest: it.Since,
				Permanent: it.Permanent, Why: p.why(it), Examples: []string{}}
			groups[k] = g
		}
		g.add(it)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	list := make([]ParkedCause, 0, len(groups))
	for _, g := range groups {
		list = append(list, *g)
	}
	open := func(s Standing) int {
		if s == StandingOpen {
			return 0
		}
		return 1
	}
	slices.SortFunc(list, func(a, b ParkedCause) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(open(a.Standing), open(b.Standing)), cmp.Compare(b.Count, a.Count),
			cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Standing, b.Standing))
	})
	return list, nil
}

// Items returns the first of what is parked, at most limit, events before texts.
func (p *Parked) Items(ctx context.Context, sel Selection, limit int) (items []ParkedItem, err error) {
	err = p.walk(ctx, sel, func(it ParkedItem) (bool, error) {
		items = append(items, it)
		return len(items) < limit, nil
	})
	return items, err
}

func (g *ParkedCause) add(it ParkedItem) {
	g.Count++
	if it.Since.Before(g.Oldest) {
		g.Oldest = it.Since
	}
	if it.Since.After(g.Newest) {
		g.Newest = it.Since
	}
	if it.MayHaveArrived {
		g.MayHaveArrived++
	}
	if len(g.Examples) < maxExamples {
		g.Examples = append(g.Examples, it.ID)
	}
}

func (p *Parked) why(it ParkedItem) Sentences {
	if it.Kind == ParkedEvents {
		return eventWhy(it.Cause)
	}
	if p.Explain == nil {
		return Sentences{}
	}
	ko, en := p.Explain(it.Cause)
	return Sentences{ko, en}
}

// firstMessage is an id below that of every message.
const firstMessage = "00000000-0000-0000-0000-000000000000"

// walk calls each for every item of sel, events before texts, in the order of ids, outside of any transaction, until it says
// that this is enough. Between items it looks whether ctx has ended. With an ID that is not parked it returns ErrNotParked.
func (p *Parked) walk(ctx context.Context, sel Selection, each func(ParkedItem) (more bool, err error)) error {
	found := false
	for _, src := range []struct {
		kind  ParkedKind
		first string // an id below all others
		read  func(ctx context.Context, tx *sqldb.Tx, sel Selection, after string, limit int) ([]ParkedItem, error)
	}{
		{ParkedEvents, "", readParkedEvents},
		{ParkedTexts, firstMessage, p.readParkedTexts},
	} {
		if !sel.has(src.kind) {
			continue
		}
		for after, full := src.first, true; full; {
			var items []ParkedItem
			err := p.DB.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
				items, err = src.read(ctx, tx, sel, after, p.page())
				return err
			})
			if err != nil {
				return fmt.Errorf("read parked %s: %w", src.kind, err)
			}
			for _, it := range items {
				if err := ctx.Err(); err != nil {
					return err
				}
				found, after = true, it.ID
				if it.Standing == StandingSentAgain && sel.ID == "" {
					continue
				}
				if more, err := each(it); err != nil || !more {
					return err
				}
			}
			full = len(items) == p.page()
		}
	}
	if sel.ID != "" && !found {
		return ErrNotParked
	}
	return nil
}
