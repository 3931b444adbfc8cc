package booking

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ansim/schema/sqldb"
)

// freeFor is how old the list of a programme's free slots may be. Alternatives are hints: the claim decides.
const freeFor = time.Second

// freeSlots remembers by programme which slots have places, since a rush on full slots asks for them with every batch.
type freeSlots map[string]freeList

type freeList struct {
	at    time.Time
	slots []slotState // by time
}

// update takes in what a committed batch left of the slots that it locked.
func (f freeSlots) update(slots map[string]*slotState) {
	for _, s := range slots {
		list, known := f[s.ProgrammeID]
		switch {
		case known && s.change < 0:
			delete(f, s.ProgrammeID)
		case known && s.change > 0 && s.full():
			list.slots = slices.DeleteFunc(slices.Clone(list.slots), func(x slotState) bool { return x.ID == s.ID })
			f[s.ProgrammeID] = list
		}
	}
}

// load returns the free slots of a programme that have not begun.
func (f freeSlots) load(ctx context.Context, tx *sqldb.Tx, programmeID string, now time.Time) ([]slotState, error) {
	if list, ok := f[programmeID]; ok && !now.Before(list.at) && now.Sub(list.at) < freeFor {
		return list.slots, nil
	}
	var slots []slotState
	err := tx.Select(ctx, &slots, `SELECT id, programme_id, site_id, starts_at, capacity, taken FROM slot
		WHERE programme_id = ? AND taken < capacity AND starts_at > ? ORDER BY starts_at, id`, programmeID, sqldb.At(now))
	if err != nil {
		return nil, fmt.Errorf("read free slots: %w", err)
	}
	f[programmeID] = freeList{at: now, slots: slots}
	return slots, nil
}

// alternatives puts other slots into the refusals of full ones.
func (b *batch) alternatives(ctx context.Context) error {
	bySlot := map[string][]Slot{}
	for i, req := range b.reqs {
		r := b.answers[i].refusal
		if b.decided[i] || r == nil || !errors.Is(r.Kind, ErrSlotFull) {
			continue
		}
		full := b.slots[req.slotID()]
		found, ok := bySlot[full.ID]
		if !ok {
			free, err := b.s.free.load(ctx, b.tx, full.ProgrammeID, b.now)
			if err != nil {
				return err
			}
			found = b.nearest(full, free)
			bySlot[full.ID] = found
		}
		r.Alternatives = found
		if t := b.targets[req.targetID]; t != nil { // where the reservation is already is no alternative
			r.Alternatives = slices.DeleteFunc(slices.Clone(found), func(s Slot) bool { return s.ID == t.SlotID })
		}
	}
	return nil
}

// nearest picks up to 3 free slots at the same site, then up to 3 at others, the nearest in time first.
func (b *batch) nearest(full *slotState, free []slotState) []Slot {
	const each = 3
	var here, elsewhere []slotState
	for _, s := range free {
		if now := b.slots[s.ID]; now != nil && now.full() {
			continue
		}
		if s.SiteID == full.SiteID {
			here = append(here, s)
		} else {
			elsewhere = append(elsewhere, s)
		}
	}
	away := func(s slotState) time.Duration { return s.StartsAt.Sub(full.StartsAt.Time).Abs() }
	var picked []Slot
	for _, list := range [][]slotState{here, elsewhere} {
		slices.SortStableFunc(list, func(x, y slotState) int { return cmp.Compare(away(x), away(y)) })
		for _, s := range list[:min(each, len(list))] {
			picked = append(picked, Slot{ID: s.ID, SiteID: s.SiteID, StartsAt: s.StartsAt.In(b.programmes[full.ProgrammeID].loc)})
		}
	}
	return picked
}
