package booking

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"ansim/outbox"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// errRaced undoes a batch that met what another process committed after the batch had looked. It is decided again.
var errRaced = errors.New("another process was faster")

// maxRaces bounds how often a batch is decided again. Each time the other's commit is seen, so only a new race repeats it.
const maxRaces = 8

// batch is one transaction of the writer.
type batch struct {
	s       *Service
	tx      *sqldb.Tx
	now     time.Time // by which requests are decided
	locked  time.Time // after the last lock was had: changes are of this time, and so none is older than an attempt that it waited for
	zones   zones
	reqs    []*request
	answers []answer
	decided []bool

	programmes map[string]*programme
	slots      map[string]*slotState
	active     map[person]*row // confirmed reservations, as they are after the requests decided so far
	targets    map[string]*row // of changes and resends, by reservation id, as they were before they were locked
	past       history         // of targets whose answers are given again
	expired    []flight        // keys that make room
	asked      askedAgain      // of resends

	inserted []*row
	changes  map[string]*change // by reservation id
	resends  []resendRow
	events   []event.Event
}

// person is one identity in one programme.
type person struct{ programme, identity string }

// slotState is a locked slot; taken is as after the requests decided so far.
type slotState struct {
	ID          string     `db:"id"`
	ProgrammeID string     `db:"programme_id"`
	SiteID      string     `db:"site_id"`
	StartsAt    sqldb.Time `db:"starts_at"`
	Capacity    int        `db:"capacity"`
	Taken       int        `db:"taken"`
	change      int
}

func (s *slotState) full() bool { return s.Taken+s.change >= s.Capacity }

// commit decides reqs in one transaction and answers each. After an error nothing was done, or it is unknown whether.
func (s *Service) commit(ctx context.Context, reqs []*request) ([]answer, error) {
	for try := 1; ; try++ {
		var b *batch
		wrote := false
		// Idempotent: should it run again after an unknown COMMIT, it finds its own idempotency rows.
		err := s.db.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			b = &batch{s: s, tx: tx, zones: zones{}, reqs: reqs, answers: make([]answer, len(reqs)),
				decided: make([]bool, len(reqs)), changes: map[string]*change{}}
			err := b.run(ctx)
			wrote = wrote || len(b.events) > 0
			return err
		})
		if errors.Is(err, errRaced) && try < maxRaces {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("book a batch: %w", err)
		}
		s.free.update(b.slots)
		if wrote {
			s.opts.Committed()
		}
		return b.answers, nil
	}
}

func (b *batch) run(ctx context.Context) error {
	var err error
	if b.now, err = b.tx.Now(ctx); err != nil {
		return err
	}
	stored, expired, err := loadKeys(ctx, b.tx, b.reqs, b.now)
	if err != nil {
		return err
	}
	b.expired = expired
	if err := b.loadTargets(ctx, stored); err != nil {
		return err
	}
	for i, req := range b.reqs {
		if k := stored[req.flight()]; k != nil {
			var target *row
			if k.ReservationID != nil {
				target = b.targets[*k.ReservationID]
			}
			b.answers[i], b.decided[i] = k.replay(req, target, b.past, b.zones), true
		}
	}
	if !slices.Contains(b.decided, false) {
		return nil
	}
	if err := b.lock(ctx); err != nil {
		return err
	}
	for i, req := range b.reqs {
		if b.decided[i] {
			continue
		}
		switch {
		case req.book != nil:
			b.answers[i].outcome, err = b.book(req)
		case req.resend != nil:
			b.answers[i].outcome, err = b.resend(req)
		case req.moveTo != "":
			b.answers[i].outcome, err = b.reschedule(req)
		case req.correct != nil:
			b.answers[i].outcome, err = b.correct(req)
		default:
			b.answers[i].outcome, err = b.cancel(req)
		}
		if err != nil {
			return err
		}
	}
	if err := b.alternatives(ctx); err != nil {
		return err
	}
	return b.write(ctx)
}

// lock locks the slots and then the reservations that the undecided requests are about, and reads their programmes.
func (b *batch) lock(ctx context.Context) error {
	slotIDs := map[string]bool{}
	for i, req := range b.reqs {
		switch {
		case b.decided[i]:
		case req.book != nil:
			slotIDs[req.book.SlotID] = true
		case req.resend != nil: // changes nothing of its slot
		case b.targets[req.targetID] != nil:
			slotIDs[b.targets[req.targetID].SlotID] = true
			if req.moveTo != "" {
				slotIDs[req.moveTo] = true
			}
		}
	}
	var err error
	if b.slots, err = lockSlots(ctx, b.tx, slotIDs); err != nil {
		return err
	}
	programmeIDs := map[string]bool{}
	for _, s := range b.slots {
		programmeIDs[s.ProgrammeID] = true
	}
	people, again := map[person]bool{}, map[string]bool{}
	for i, req := range b.reqs {
		switch {
		case b.decided[i]:
		case req.book != nil:
			if s := b.slots[req.book.SlotID]; s != nil {
				people[person{s.ProgrammeID, string(req.identity)}] = true
			}
		case b.targets[req.targetID] == nil:
		case req.resend == nil:
			people[b.targets[req.targetID].person()] = true
			programmeIDs[b.targets[req.targetID].ProgrammeID] = true
		case req.call.Client.owns(b.targets[req.targetID]): // another client's is not for this one to lock
			again[req.targetID] = true
			programmeIDs[b.targets[req.targetID].ProgrammeID] = true
		}
	}
	var locked map[string]*row
	if b.active, locked, err = lockReservations(ctx, b.tx, people, again); err != nil {
		return err
	}
	for i, req := range b.reqs {
		t := b.targets[req.targetID]
		if b.decided[i] || t == nil || req.resend != nil {
			continue
		}
		// Moved between look and lock: other slots must be locked.
		if r := b.active[t.person()]; r != nil && r.ID == t.ID && b.slots[r.SlotID] == nil {
			return errRaced
		}
	}
	if b.asked, err = askAgain(ctx, b.tx, b.s.opts.Look, locked, b.now); err != nil {
		return err
	}
	if b.programmes, err = loadProgrammes(ctx, b.tx, programmeIDs, b.zones); err != nil {
		return err
	}
	b.locked = b.now
	for i, req := range b.reqs {
		if !b.decided[i] && req.book == nil && req.resend == nil {
			b.locked, err = b.tx.Later(ctx)
			break
		}
	}
	return err
}

// book decides a booking.
func (b *batch) book(req *request) (outcome, error) {
	slot := b.slots[req.book.SlotID]
	if slot == nil {
		return refuse(&Refusal{Kind: ErrNoSlot, ServerTime: b.now})
	}
	p := b.programmes[slot.ProgrammeID]
	who := person{p.id, string(req.identity)}
	other := b.active[who]
	// The same request under another key, or after its key expired, is a repeat and not a second booking: it is found
	// before the window is looked at, which may have closed since.
	if other != nil && other.repeats(req) {
		v := *other
		v.SiteID, v.StartsAt, v.TimeZone = slot.SiteID, slot.StartsAt, p.zone
		return outcome{reply: Reply{Reservation: v.reservation(b.zones)}}, nil
	}
	no := b.admit(p, req.book.BirthDate, slot)
	if other != nil && (no == nil || errors.Is(no, ErrSlotFull)) {
		no = &Refusal{Kind: ErrAlreadyBooked, ProgrammeID: p.id, ServerTime: b.now.In(p.loc)}
	}
	if no != nil {
		return refuse(no)
	}
	r, err := newRow(req, slot, p, b.now)
	if err != nil {
		return outcome{}, err
	}
	slot.change++
	b.active[who] = r
	b.inserted = append(b.inserted, r)
	if err := b.tell(event.Booked, r, r.recipients(), req); err != nil {
		return outcome{}, err
	}
	return outcome{reply: Reply{Reservation: r.reservation(b.zones), Created: true}}, nil
}

// resend decides a resend.
func (b *batch) resend(req *request) (outcome, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return outcome{}, fmt.Errorf("make an event id: %w", err)
	}
	e, r := b.asked.decide(req.targetID, id.String(), req.resend, b.zones)
	if r != nil {
		return refuse(r)
	}
	e.event.Traceparent = traceparent(req.call.Traceparent)
	b.resends, b.events = append(b.resends, e.row), append(b.events, e.event)
	return outcome{reply: Reply{Reservation: b.asked.of[req.targetID].row.reservation(b.zones), Resent: &e.resent}}, nil
}

func refuse(r *Refusal) (outcome, error) { return outcome{refusal: r}, nil }

// tell notes the event of a change, with those who are to get a text.
func (b *batch) tell(t event.Type, r *row, to []event.Recipient, req *request) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an event id: %w", err)
	}
	b.events = append(b.events, event.Event{ID: id.String(), Type: t, ReservationID: r.ID, Version: r.Version,
		Recipients: to, Time: r.Updated.Time, Traceparent: traceparent(req.call.Traceparent)})
	return nil
}

// recipients are everybody whom r knows.
func (r *row) recipients() []event.Recipient {
	if r.BookerPhone == nil {
		return []event.Recipient{event.Resident}
	}
	return []event.Recipient{event.Resident, event.Booker}
}

// traceparent is s when it has the form of a W3C trace context, else "": it comes from outside and is stored and sent on.
func traceparent(s string) string {
	if len(s) != 55 {
		return ""
	}
	for i := range len(s) {
		dash := i == 2 || i == 35 || i == 52
		hex := s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f'
		if dash != (s[i] == '-') || !dash && !hex {
			return ""
		}
	}
	return s
}

// write stores what was decided, in the order of locks, the outbox last.
func (b *batch) write(ctx context.Context) error {
	// Changes first: cancellations free the places in the unique index that bookings of the same batch may take.
	if err := b.writeChanges(ctx); err != nil {
		return err
	}
	slices.SortFunc(b.inserted, func(x, y *row) int {
		return cmp.Or(bytes.Compare(x.Identity, y.Identity), cmp.Compare(x.ProgrammeID, y.ProgrammeID))
	})
	if err := insertRows(ctx, b.tx, b.inserted); err != nil {
		return err
	}
	if err := moveTaken(ctx, b.tx, b.slots); err != nil {
		return err
	}
	if err := insertResends(ctx, b.tx, b.resends); err != nil {
		return err
	}
	var keys []*keyRow
	for i, req := range b.reqs {
		if b.decided[i] {
			continue
		}
		k, err := remember(req, b.answers[i].outcome, b.programmeOf(b.answers[i].outcome), b.now)
		if err != nil {
			return err
		}
		if k != nil {
			keys = append(keys, k)
		}
	}
	if err := storeKeys(ctx, b.tx, keys, b.expired, b.now); err != nil {
		return err
	}
	if len(b.events) == 0 {
		return nil
	}
	return outbox.Append(ctx, b.tx, b.events)
}

func (b *batch) programmeOf(o outcome) *programme {
	if o.refusal != nil {
		return b.programmes[o.refusal.ProgrammeID]
	}
	return b.programmes[o.reply.Reservation.ProgrammeID]
}
