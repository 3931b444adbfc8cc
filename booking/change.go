package booking

import (
	"context"
	"fmt"

	"ansim/schema/event"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

// Correction is what is to be changed of how a reservation's resident is called and reached. What is "" stays as it is; the
// rest has been through the Normalize functions.
type Correction struct {
	Name     personal.Name
	Phone    personal.Phone
	Language string // "ko" or "en"
}

// change is a reservation that the batch changes: its row as it is after the requests decided so far, and the versions that
// they replaced, oldest first. Two requests of one batch may change the same reservation.
type change struct {
	row  *row
	past []row
}

// replace makes r, as it is now, a past version, and gives it the next number. The caller then changes what is to be changed.
func (b *batch) replace(r *row) {
	c := b.changes[r.ID]
	if c == nil {
		c = &change{row: r}
		b.changes[r.ID] = c
	}
	c.past = append(c.past, *r)
	r.Version, r.Updated = r.Version+1, sqldb.At(b.locked)
}

// changeable is the active reservation that req is to change, with its slot's data, or why it cannot be changed. The target
// was read before it was locked: what counts is what was found under the lock.
func (b *batch) changeable(req *request) (*row, *Refusal) {
	target := b.targets[req.targetID]
	if target == nil || !req.call.Client.owns(target) {
		return nil, &Refusal{Kind: ErrNotFound, ServerTime: b.now}
	}
	p := b.programmes[target.ProgrammeID]
	refusal := func(kind error) *Refusal {
		return &Refusal{Kind: kind, ProgrammeID: p.id, ServerTime: b.now.In(p.loc)}
	}
	r := b.active[target.person()]
	if r == nil || r.ID != target.ID {
		return nil, refusal(ErrNotChangeable)
	}
	slot := b.slots[r.SlotID]
	if !b.now.Before(slot.StartsAt.Time) {
		return nil, refusal(ErrNotChangeable)
	}
	if req.ifMatch != 0 && req.ifMatch != r.Version {
		no := refusal(ErrVersionMismatch)
		no.Version = r.Version
		return nil, no
	}
	r.SiteID, r.StartsAt, r.TimeZone = slot.SiteID, slot.StartsAt, p.zone
	return r, nil
}

// changed is the answer to a change of r, which is told to everybody whom it knows, and to others.
func (b *batch) changed(t event.Type, r *row, req *request, others ...event.Recipient) (outcome, error) {
	if err := b.tell(t, r, append(r.recipients(), others...), req); err != nil {
		return outcome{}, err
	}
	return outcome{reply: Reply{Reservation: r.reservation(b.zones)}}, nil
}

// cancel decides a cancellation.
func (b *batch) cancel(req *request) (outcome, error) {
	r, no := b.changeable(req)
	if no != nil {
		return refuse(no)
	}
	b.replace(r)
	r.Status = StatusCancelled
	b.slots[r.SlotID].change--
	delete(b.active, r.person())
	return b.changed(event.Cancelled, r, req)
}

// reschedule decides a move to another slot of the programme. It passes the gate as a booking does: who could not book now
// cannot move either, so holding an early place opens no later door. A move to where the reservation is changes nothing.
func (b *batch) reschedule(req *request) (outcome, error) {
	r, no := b.changeable(req)
	if no != nil {
		return refuse(no)
	}
	p, to := b.programmes[r.ProgrammeID], b.slots[req.moveTo]
	if to == nil || to.ProgrammeID != r.ProgrammeID {
		return refuse(&Refusal{Kind: ErrNoSlot, ProgrammeID: p.id, ServerTime: b.now.In(p.loc)})
	}
	if to.ID == r.SlotID {
		return outcome{reply: Reply{Reservation: r.reservation(b.zones), Unchanged: true}}, nil
	}
	if no := b.admit(p, r.BirthDate, to); no != nil {
		return refuse(no)
	}
	b.replace(r)
	b.slots[r.SlotID].change--
	to.change++
	r.SlotID, r.SiteID, r.StartsAt = to.ID, to.SiteID, to.StartsAt
	return b.changed(event.Changed, r, req)
}

// admit says why somebody of that birth date may not have a place in a slot now, nil when they may: the programme's window
// and rules, the slot's time, and its places.
func (b *batch) admit(p *programme, birthDate string, slot *slotState) *Refusal {
	if no := p.gate(birthDate, b.now); no != nil {
		return no
	}
	if !b.now.Before(slot.StartsAt.Time) {
		return p.outside(Window{OpensAt: p.opensAt, ClosesAt: slot.StartsAt.Time}, b.now)
	}
	if slot.full() {
		return &Refusal{Kind: ErrSlotFull, ProgrammeID: p.id, ServerTime: b.now.In(p.loc)}
	}
	return nil
}

// correct decides a correction. One that changes nothing makes no new version and no text. A number that is replaced is told, too:
// it may be a stranger's, or the resident's who did not ask for this.
func (b *batch) correct(req *request) (outcome, error) {
	r, no := b.changeable(req)
	if no != nil {
		return refuse(no)
	}
	name, phone, language := r.Name, r.Phone, r.Language
	if c := req.correct; c.Name != "" {
		name = c.Name.Reveal()
	}
	if c := req.correct; c.Phone != "" {
		phone = c.Phone.Reveal()
	}
	if c := req.correct; c.Language != "" {
		language = c.Language
	}
	if name == r.Name && phone == r.Phone && language == r.Language {
		return outcome{reply: Reply{Reservation: r.reservation(b.zones), Unchanged: true}}, nil
	}
	var others []event.Recipient
	if phone != r.Phone {
		others = append(others, event.Former)
	}
	b.replace(r)
	r.Name, r.Phone, r.Language = name, phone, language
	return b.changed(event.Changed, r, req, others...)
}

// writeChanges writes what the batch changed of reservations that were there, and the versions that this replaced. The rows are
// locked, so each still has the version that was read.
func (b *batch) writeChanges(ctx context.Context) error {
	if len(b.changes) == 0 {
		return nil
	}
	col := func(name string, t sqldb.Type) sqldb.Column { return sqldb.Column{Name: name, Type: t} }
	next := sqldb.NewRows("next", col("id", sqldb.UUID), col("was", sqldb.Int), col("version", sqldb.Int), col("status", sqldb.Text),
		col("slot_id", sqldb.Text), col("name", sqldb.Text), col("phone", sqldb.Text), col("language", sqldb.Text),
		col("updated_at", sqldb.Timestamp))
	past := sqldb.NewRows("past", col("reservation_id", sqldb.UUID), col("version", sqldb.Int), col("slot_id", sqldb.Text),
		col("site_id", sqldb.Text), col("starts_at", sqldb.Timestamp), col("name", sqldb.Text), col("phone", sqldb.Text),
		col("language", sqldb.Text), col("since", sqldb.Timestamp))
	for _, c := range b.changes {
		r := c.row
		next.Add(r.ID, c.past[0].Version, r.Version, r.Status, r.SlotID, r.Name, r.Phone, r.Language, r.Updated)
		for _, p := range c.past {
			past.Add(p.ID, p.Version, p.SlotID, p.SiteID, p.StartsAt, p.Name, p.Phone, p.Language, p.Updated)
		}
	}
	with, args := b.tx.Source(next)
	n, err := b.tx.Exec(ctx, "WITH "+with+` UPDATE reservation SET status = next.status, version = next.version, slot_id = next.slot_id,
			name = next.name, phone = next.phone, language = next.language, updated_at = next.updated_at
		FROM next WHERE reservation.id = next.id AND reservation.status = 'confirmed' AND reservation.version = next.was`, args...)
	if err != nil {
		return fmt.Errorf("change reservations: %w", err)
	}
	if n != int64(len(b.changes)) {
		return errRaced
	}
	const columns = "reservation_id, version, slot_id, site_id, starts_at, name, phone, language, since"
	with, args = b.tx.Source(past)
	if _, err := b.tx.Exec(ctx, "WITH "+with+" INSERT INTO reservation_history ("+columns+") SELECT "+columns+" FROM past",
		args...); err != nil {
		return fmt.Errorf("keep past versions: %w", err)
	}
	return nil
}
