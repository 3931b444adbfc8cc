package booking

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"ansim/schema/sqldb"
)

// chunk is how many rows one statement of ApplyProgramme stores: SQLite takes 32,766 parameters.
const chunk = 2000

type siteRow struct {
	ID          string `db:"id"`
	ProgrammeID string `db:"programme_id"`
	NameKo      string `db:"name_ko"`
	NameEn      string `db:"name_en"`
}

// sitesAndSlots brings sites and slots to the file's: sites are stored, slots stored and removed, and then sites removed,
// as the references between them ask.
func (a *applying) sitesAndSlots(ctx context.Context) error {
	oldSites, err := a.oldSites(ctx)
	if err != nil {
		return err
	}
	oldSlots, err := a.oldSlots(ctx)
	if err != nil {
		return err
	}
	if err := a.storeSites(ctx, oldSites); err != nil {
		return err
	}
	if err := a.storeSlots(ctx, oldSlots); err != nil {
		return err
	}
	goneSites, goneSlots := map[string]bool{}, map[string]bool{}
	for _, s := range oldSites {
		goneSites[s.ID] = s.ProgrammeID == a.file.ID
	}
	for _, s := range oldSlots {
		goneSlots[s.ID] = s.ProgrammeID == a.file.ID
	}
	for _, s := range a.file.Sites {
		goneSites[s.ID] = false
	}
	for _, s := range a.file.Slots {
		goneSlots[s.ID] = false
	}
	stuck := map[string]bool{} // sites that a slot which cannot go keeps
	for _, s := range oldSlots {
		if !goneSlots[s.ID] {
			continue
		}
		ok, err := a.removeSlot(ctx, s)
		if err != nil {
			return err
		}
		stuck[s.SiteID] = stuck[s.SiteID] || !ok
	}
	for _, s := range oldSites {
		if !goneSites[s.ID] || len(a.reasons) > 0 {
			// Once something is against it nothing is kept, and a slot that a reason keeps may still be at this site.
			if stuck[s.ID] && goneSites[s.ID] {
				a.against("site %s: it has reservations and cannot be removed", s.ID)
			}
			continue
		}
		a.did(Removed, "site", s.ID)
		if _, err := a.tx.Exec(ctx, "DELETE FROM site WHERE id = ?", s.ID); err != nil {
			return fmt.Errorf("remove site %s: %w", s.ID, err)
		}
	}
	return nil
}

func (a *applying) removeSlot(ctx context.Context, s slotState) (bool, error) {
	booked, err := a.bookedSlots(ctx)
	if err != nil {
		return false, err
	}
	if booked[s.ID] {
		a.against("slot %s: it has reservations and cannot be removed", s.ID)
		return false, nil
	}
	a.did(Removed, "slot", s.ID)
	if _, err := a.tx.Exec(ctx, "DELETE FROM slot WHERE id = ?", s.ID); err != nil {
		return false, fmt.Errorf("remove slot %s: %w", s.ID, err)
	}
	return true, nil
}

// oldSites reads the sites of the programme, and those of others whose ids the file uses.
func (a *applying) oldSites(ctx context.Context) ([]siteRow, error) {
	var rows []siteRow
	if err := a.tx.Select(ctx, &rows, "SELECT id, programme_id, name_ko, name_en FROM site ORDER BY id"); err != nil {
		return nil, fmt.Errorf("read sites: %w", err)
	}
	used := make(map[string]bool, len(a.file.Sites))
	for _, s := range a.file.Sites {
		used[s.ID] = true
	}
	return slices.DeleteFunc(rows, func(r siteRow) bool { return r.ProgrammeID != a.file.ID && !used[r.ID] }), nil
}

// oldSlots reads and locks, in the order of ids as bookings do, the slots of the programme, and those of others whose ids
// the file uses.
func (a *applying) oldSlots(ctx context.Context) ([]slotState, error) {
	var all []slotState
	const columns = "SELECT id, programme_id, site_id, starts_at, capacity, taken FROM slot WHERE "
	for part := range slices.Chunk(a.file.Slots, chunk) {
		used := sqldb.NewRows("used", sqldb.Column{Name: "id", Type: sqldb.Text})
		for _, s := range part {
			used.Add(s.ID)
		}
		with, args := a.tx.Source(used)
		var foreign []slotState
		if err := a.tx.Select(ctx, &foreign, "WITH "+with+" "+columns+"programme_id <> ? AND id IN (SELECT id FROM used)",
			append(args, a.file.ID)...); err != nil {
			return nil, fmt.Errorf("read slots: %w", err)
		}
		all = append(all, foreign...)
	}
	var own []slotState
	if err := a.tx.Select(ctx, &own, columns+"programme_id = ? ORDER BY id"+a.tx.ForUpdate(), a.file.ID); err != nil {
		return nil, fmt.Errorf("lock slots: %w", err)
	}
	a.booked = nil // what was read before the lock may have grown
	return append(all, own...), nil
}

func (a *applying) storeSites(ctx context.Context, old []siteRow) error {
	known := make(map[string]siteRow, len(old))
	for _, s := range old {
		known[s.ID] = s
	}
	for _, s := range a.file.Sites {
		was, ok := known[s.ID]
		switch {
		case ok && was.ProgrammeID != a.file.ID:
			a.against("site %s: the id is that of a site of programme %s", s.ID, was.ProgrammeID)
			continue
		case ok && was.NameKo == s.Name.Ko && was.NameEn == s.Name.En:
			continue
		case ok:
			a.did(Changed, "site", s.ID, "name "+Text{was.NameKo, was.NameEn}.String()+" → "+s.Name.String())
		default:
			a.did(Added, "site", s.ID)
		}
		if _, err := a.tx.Exec(ctx, `INSERT INTO site (id, programme_id, name_ko, name_en) VALUES (?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET name_ko = excluded.name_ko, name_en = excluded.name_en
			WHERE site.programme_id = excluded.programme_id`, s.ID, a.file.ID, s.Name.Ko, s.Name.En); err != nil {
			return fmt.Errorf("store site %s: %w", s.ID, err)
		}
	}
	return nil
}

func (a *applying) storeSlots(ctx context.Context, old []slotState) error {
	known := make(map[string]slotState, len(old))
	for _, s := range old {
		known[s.ID] = s
	}
	var write []SlotSpec
	for _, s := range a.file.Slots {
		was, ok := known[s.ID]
		if !ok {
			a.did(Added, "slot", s.ID)
			write = append(write, s)
			continue
		}
		if was.ProgrammeID != a.file.ID {
			a.against("slot %s: the id is that of a slot of programme %s", s.ID, was.ProgrammeID)
			continue
		}
		var d differ
		d.is("site", was.SiteID, s.SiteID)
		d.is("starts_at", instant(was.StartsAt.Time), instant(s.StartsAt))
		if len(d) > 0 {
			booked, err := a.bookedSlots(ctx)
			if err != nil {
				return err
			}
			if booked[s.ID] {
				a.against("slot %s: it has reservations and cannot be moved", s.ID)
			}
		}
		d.is("capacity", strconv.Itoa(was.Capacity), strconv.Itoa(s.Capacity))
		if len(d) == 0 {
			continue
		}
		if s.Capacity < was.Taken {
			a.against("slot %s: its capacity cannot become %d, since %d places are taken", s.ID, s.Capacity, was.Taken)
			continue
		}
		a.did(Changed, "slot", s.ID, d...)
		write = append(write, s)
	}
	if len(a.reasons) > 0 {
		return nil // nothing will be kept; storing would only meet the constraints
	}
	for part := range slices.Chunk(write, chunk) {
		src := sqldb.NewRows("wanted", sqldb.Column{Name: "id", Type: sqldb.Text}, sqldb.Column{Name: "site_id", Type: sqldb.Text},
			sqldb.Column{Name: "starts_at", Type: sqldb.Timestamp}, sqldb.Column{Name: "capacity", Type: sqldb.Int})
		for _, s := range part {
			src.Add(s.ID, s.SiteID, sqldb.At(s.StartsAt), s.Capacity)
		}
		with, args := a.tx.Source(src)
		if _, err := a.tx.Exec(ctx, "WITH "+with+` INSERT INTO slot (id, programme_id, site_id, starts_at, capacity)
			SELECT id, CAST(? AS text), site_id, starts_at, capacity FROM wanted WHERE true ORDER BY id
			ON CONFLICT (id) DO UPDATE SET site_id = excluded.site_id, starts_at = excluded.starts_at, capacity = excluded.capacity
			WHERE slot.programme_id = excluded.programme_id`, append(args, a.file.ID)...); err != nil {
			return fmt.Errorf("store slots: %w", err)
		}
	}
	return nil
}
