package booking

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sort"
	"time"

	"ansim/schema/sqldb"
)

// freeFor is how old the list of a programme's free slots may be. Alternatives are hints: the claim decides.
const freeFor = time.Second

// offerHalf is the time after which half of those who were offered a place, and have not come for it, will not come any more: time to
// read, to choose and to press, on a bad line.
const offerHalf = 5 * time.Second

// How probably somebody takes the nearest of the slots that they are offered at a site, or at others, and each of those behind it. More
// than one in all: some insist on the nearest, and would be sent to a full one again and again were it counted for a sixth.
const nearestTaken, otherTaken = 1.0 / 2, 1.0 / 6

// freeSlots remembers by programme which slots have places, since a rush on full slots asks for them with every batch.
type freeSlots map[string]*freeList

type freeList struct {
	at    time.Time
	stale bool        // a place has become free in a slot that is not in the list
	slots []slotState // by time
	index map[string]int
	all   []int            // where they are in slots
	sites map[string][]int // of these, those of each site
	// offered is to how many people, about, each of them was offered, who have not come yet: everybody who is refused is told of
	// places, and would all be sent to the same few, there would soon be none in those, and all of them would be refused again.
	offered map[string]float64
	refused float64 // how many were refused lately, about
}

// need is how much room a slot must have to be offered before all others. In a rush one of the last places is gone before whoever was
// told of it has read so.
func (l *freeList) need() float64 { return 1 + min(3, l.refused/10) }

// room is how many places of a free slot are left when those to whom it was offered have taken it.
func (l *freeList) room(s slotState) float64 { return float64(s.Capacity-s.Taken) - l.offered[s.ID] }

// update takes in what a committed batch left of the slots that it locked.
func (f freeSlots) update(slots map[string]*slotState) {
	for _, s := range slots {
		list := f[s.ProgrammeID]
		if list == nil || s.change == 0 {
			continue
		}
		i, known := list.index[s.ID]
		if !known {
			list.stale = true
			continue
		}
		list.slots[i].Taken = s.Taken + s.change
		if s.change > 0 {
			list.forget(s.ID, list.offered[s.ID]-float64(s.change)) // those who came
		}
	}
}

// forget lowers to how many people a slot was offered.
func (l *freeList) forget(id string, left float64) {
	if l.offered[id] = left; left < 0.1 {
		delete(l.offered, id)
	}
}

// load returns the free slots of a programme that have not begun.
func (f freeSlots) load(ctx context.Context, tx *sqldb.Tx, programmeID string, now time.Time) (*freeList, error) {
	before := f[programmeID]
	if before != nil && !before.stale && !now.Before(before.at) && now.Sub(before.at) < freeFor {
		return before, nil
	}
	list := &freeList{at: now, index: map[string]int{}, sites: map[string][]int{}, offered: map[string]float64{}}
	err := tx.Select(ctx, &list.slots, `SELECT id, programme_id, site_id, starts_at, capacity, taken FROM slot
		WHERE programme_id = ? AND taken < capacity AND starts_at > ? ORDER BY starts_at, id`, programmeID, sqldb.At(now))
	if err != nil {
		return nil, fmt.Errorf("read free slots: %w", err)
	}
	if before == nil {
		before = list
	}
	still := math.Exp2(-max(0, now.Sub(before.at).Seconds()) / offerHalf.Seconds())
	list.refused = before.refused * still
	for i, s := range list.slots {
		list.index[s.ID] = i
		list.all, list.sites[s.SiteID] = append(list.all, i), append(list.sites[s.SiteID], i)
		list.forget(s.ID, before.offered[s.ID]*still)
	}
	f[programmeID] = list
	return list, nil
}

// alternatives puts other slots into the refusals of full ones.
func (b *batch) alternatives(ctx context.Context) error {
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
		already := ""
		if t := b.targets[req.targetID]; t != nil { // where the reservation is already is no alternative
			already = t.SlotID
		}
		r.Alternatives = b.offer(free, full, already)
	}
	return nil
}

// offer gives up to 3 free slots at the same site, then up to 3 at others, and notes that they were offered.
func (b *batch) offer(free *freeList, full *slotState, already string) (offered []Slot) {
	here := b.pick(free, free.sites[full.SiteID], full, func(s *slotState) bool { return s.ID != already })
	elsewhere := b.pick(free, free.all, full, func(s *slotState) bool { return s.SiteID != full.SiteID && s.ID != already })
	free.refused++
	for _, picked := range [][]slotState{here, elsewhere} {
		for i, s := range picked {
			if i == 0 {
				free.offered[s.ID] += nearestTaken
			} else {
				free.offered[s.ID] += otherTaken
			}
			offered = append(offered, Slot{ID: s.ID, SiteID: s.SiteID, StartsAt: s.StartsAt.In(b.programmes[s.ProgrammeID].loc)})
		}
	}
	return offered
}

// pick picks up to 3 of some of the free slots, those with room first, and of them the nearest in time to the full one.
func (b *batch) pick(free *freeList, among []int, full *slotState, fits func(*slotState) bool) []slotState {
	const each = 3
	var found [3][]slotState // with the room that is needed, with some, with none
	need := free.need()
	for s := range free.around(among, full.StartsAt.Time) {
		if !fits(s) || s.full() {
			continue
		}
		if now := b.slots[s.ID]; now != nil && now.full() {
			continue
		}
		crowded := 0
		switch room := free.room(*s); {
		case room < 1:
			crowded = 2
		case room < need:
			crowded = 1
		}
		list := &found[crowded]
		switch {
		case len(*list) < each:
			*list = append(*list, *s)
		case crowded == 2: // of those that too many were told of, the ones with the fewest for each place
			least := slices.IndexFunc(*list, func(x slotState) bool { return free.room(x) < free.room(*s) })
			if least >= 0 {
				(*list)[least] = *s
			}
		}
		if len(found[0]) == each {
			break
		}
	}
	picked := slices.Concat(found[:]...) // rather one that many were told of than none
	return picked[:min(each, len(picked))]
}

// around are some of the slots, the nearest in time to t first; as many as may be looked at for one refusal.
func (l *freeList) around(among []int, t time.Time) iter.Seq[*slotState] {
	const most = 2000
	at := func(i int) *slotState { return &l.slots[among[i]] }
	return func(yield func(*slotState) bool) {
		after := sort.Search(len(among), func(i int) bool { return !at(i).StartsAt.Before(t) })
		before := after - 1
		for range min(most, len(among)) {
			next := after
			if after == len(among) || before >= 0 && t.Sub(at(before).StartsAt.Time) <= at(after).StartsAt.Sub(t) {
				next = before
				before--
			} else {
				after++
			}
			if !yield(at(next)) {
				return
			}
		}
	}
}
