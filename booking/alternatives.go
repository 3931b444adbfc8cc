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
	// offered is to how many people, about, each of them was offered lately: everybody who is refused is told of places, and
	// would all be sent to the same few, there would soon be none in those, and all of them would be refused again.
	offered map[string]float64
}

// room is how many places of a free slot are left when those to whom it was offered have taken it.
func (l freeList) room(s slotState) float64 { return float64(s.Capacity-s.Taken) - l.offered[s.ID] }

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
func (f freeSlots) load(ctx context.Context, tx *sqldb.Tx, programmeID string, now time.Time) (freeList, error) {
	before, ok := f[programmeID]
	if ok && !now.Before(before.at) && now.Sub(before.at) < freeFor {
		return before, nil
	}
	var slots []slotState
	err := tx.Select(ctx, &slots, `SELECT id, programme_id, site_id, starts_at, capacity, taken FROM slot
		WHERE programme_id = ? AND taken < capacity AND starts_at > ? ORDER BY starts_at, id`, programmeID, sqldb.At(now))
	if err != nil {
		return freeList{}, fmt.Errorf("read free slots: %w", err)
	}
	list := freeList{at: now, slots: slots, offered: make(map[string]float64, len(slots))}
	for _, s := range slots { // some have come by now, and are in taken; some will not
		if n := before.offered[s.ID] / 2; n >= 0.1 {
			list.offered[s.ID] = n
		}
	}
	f[programmeID] = list
	return list, nil
}

// alternatives puts other slots into the refusals of full ones.
func (b *batch) alternatives(ctx context.Context) error {
	bySlot := map[string][2][]slotState{}
	for i, req := range b.reqs {
		r := b.answers[i].refusal
		if b.decided[i] || r == nil || !errors.Is(r.Kind, ErrSlotFull) {
			continue
		}
		full := b.slots[req.slotID()]
		free, err := b.s.free.load(ctx, b.tx, full.ProgrammeID, b.now)
		if err != nil {
			return err
		}
		near, ok := bySlot[full.ID]
		if !ok {
			near = b.nearest(full, free.slots)
			bySlot[full.ID] = near
		}
		already := ""
		if t := b.targets[req.targetID]; t != nil { // where the reservation is already is no alternative
			already = t.SlotID
		}
		r.Alternatives = b.offer(free, near, already)
	}
	return nil
}

// offer picks up to 3 free slots at the same site, then up to 3 at others, the nearest in time that have room first.
func (b *batch) offer(free freeList, near [2][]slotState, already string) (offered []Slot) {
	const each = 3
	var picked []slotState
	for _, list := range near {
		from := len(picked)
		for _, crowded := range []bool{false, true} { // rather one that many were told of than none
			for _, s := range list {
				if len(picked) == from+each {
					break
				}
				if s.ID != already && (free.room(s) < 1) == crowded {
					picked = append(picked, s)
				}
			}
		}
	}
	for _, s := range picked {
		free.offered[s.ID] += 1 / float64(len(picked))
		offered = append(offered, Slot{ID: s.ID, SiteID: s.SiteID, StartsAt: s.StartsAt.In(b.programmes[s.ProgrammeID].loc)})
	}
	return offered
}

// nearest are the free slots at the same site, and those at others, the nearest in time first: as many as are ever offered at
// once, and some to go on with when those are crowded.
func (b *batch) nearest(full *slotState, free []slotState) (near [2][]slotState) {
	const enough = 100
	for _, s := range free {
		if now := b.slots[s.ID]; now != nil && now.full() {
			continue
		}
		where := 0
		if s.SiteID != full.SiteID {
			where = 1
		}
		near[where] = append(near[where], s)
	}
	away := func(s slotState) time.Duration { return s.StartsAt.Sub(full.StartsAt.Time).Abs() }
	for i, list := range near {
		slices.SortStableFunc(list, func(x, y slotState) int { return cmp.Compare(away(x), away(y)) })
		near[i] = list[:min(enough, len(list))]
	}
	return near
}
