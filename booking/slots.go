package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"ansim/schema/sqldb"
)

// SlotQuery chooses slots of a programme. Zero values leave open what they are about.
type SlotQuery struct {
	Programme string
	Site      string
	From, To  time.Time // starts_at is not before From and before To; without From not before now
	After     SlotMark  // where the page before ended
	Free      bool      // only slots with places left
	Limit     int       // 1 to MaxSlots
}

// MaxSlots is the most slots that one page can have.
const MaxSlots = 500

// SlotMark is a place in the order of slots, which is that of their times and then of their ids.
type SlotMark struct {
	StartsAt time.Time
	ID       string
}

// FreeSlot is a slot with its places.
type FreeSlot struct {
	Slot
	Capacity  int
	Remaining int
}

// SlotPage is a part of a list of slots, as it was at an instant of the database's clock.
type SlotPage struct {
	Slots []FreeSlot
	More  bool // there are slots after the last
	At    time.Time
}

// Slots reads a page of slots with what is left of their places. It locks nothing and waits for no booking; what it says is
// a forecast, as the next booking may come before the reader.
func (s *Service) Slots(ctx context.Context, q SlotQuery) (SlotPage, error) {
	var page SlotPage
	err := s.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		page = SlotPage{}
		var err error
		if page.At, err = tx.Now(ctx); err != nil {
			return err
		}
		where, args := q.where(page.At)
		var rows []struct {
			slotState
			Zone string `db:"time_zone"`
		}
		if err := tx.Select(ctx, &rows, `SELECT s.id, s.programme_id, s.site_id, s.starts_at, s.capacity, s.taken, p.time_zone
			FROM slot s JOIN programme p ON p.id = s.programme_id WHERE `+where+` ORDER BY s.starts_at, s.id LIMIT ?`,
			append(args, q.Limit+1)...); err != nil {
			return fmt.Errorf("list slots: %w", err)
		}
		if page.More = len(rows) > q.Limit; page.More {
			rows = rows[:q.Limit]
		}
		z := zones{}
		for _, r := range rows {
			page.Slots = append(page.Slots, FreeSlot{Slot: Slot{ID: r.ID, SiteID: r.SiteID, StartsAt: r.StartsAt.In(z.location(r.Zone))},
				Capacity: r.Capacity, Remaining: r.Capacity - r.Taken})
		}
		return nil
	})
	return page, err
}

// where is the condition of q.
func (q SlotQuery) where(now time.Time) (string, []any) {
	var parts []string
	var args []any
	add := func(part string, values ...any) { parts, args = append(parts, part), append(args, values...) }
	add("s.programme_id = ?", q.Programme)
	if q.Site != "" {
		add("s.site_id = ?", q.Site)
	}
	from := q.From
	if from.IsZero() {
		from = now
	}
	add("s.starts_at >= ?", sqldb.At(from))
	if !q.To.IsZero() {
		add("s.starts_at < ?", sqldb.At(q.To))
	}
	if q.Free {
		add("s.taken < s.capacity")
	}
	if q.After.ID != "" {
		add("(s.starts_at, s.id) > (?, ?)", sqldb.At(q.After.StartsAt), q.After.ID)
	}
	return strings.Join(parts, " AND "), args
}

// FreeSites lists the sites of a programme that have a free place at a time to come, by their Korean names,
// at most limit; part is what their names must have within, in either language and with any spaces, "" for all.
func (s *Service) FreeSites(ctx context.Context, programme, part string, limit int) ([]Site, error) {
	var rows []struct {
		ID string `db:"id"`
		Ko string `db:"name_ko"`
		En string `db:"name_en"`
	}
	pattern := "%" + likeEscaper.Replace(strings.ToLower(strings.Join(strings.Fields(part), ""))) + "%"
	err := s.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		rows = nil
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		return tx.Select(ctx, &rows, `SELECT t.id, t.name_ko, t.name_en FROM site t WHERE t.programme_id = ?
				AND (LOWER(REPLACE(t.name_ko, ' ', '')) LIKE ? ESCAPE '!' OR LOWER(REPLACE(t.name_en, ' ', '')) LIKE ? ESCAPE '!')
				AND EXISTS (SELECT 1 FROM slot s WHERE s.site_id = t.id AND s.starts_at > ? AND s.taken < s.capacity)
			ORDER BY t.name_ko, t.id LIMIT ?`, programme, pattern, pattern, sqldb.At(now), limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list sites: %w", err)
	}
	sites := make([]Site, len(rows))
	for i, r := range rows {
		sites[i] = Site{ID: r.ID, Name: Text{r.Ko, r.En}}
	}
	return sites, nil
}

// likeEscaper makes a pattern's own signs plain ones, for LIKE … ESCAPE '!'.
var likeEscaper = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// NamedSlot is a slot with what its site is called.
type NamedSlot struct {
	Slot
	Site Text
}

// SlotOf reads a slot of a programme, whether or not it has places left. ErrNoSlot when there is none of that id.
func (s *Service) SlotOf(ctx context.Context, programme, id string) (NamedSlot, error) {
	if !idForm.MatchString(id) {
		return NamedSlot{}, ErrNoSlot
	}
	var r struct {
		slotState
		Zone string `db:"time_zone"`
		Ko   string `db:"name_ko"`
		En   string `db:"name_en"`
	}
	err := s.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Get(ctx, &r, `SELECT s.id, s.programme_id, s.site_id, s.starts_at, s.capacity, s.taken, p.time_zone, t.name_ko, t.name_en
			FROM slot s JOIN programme p ON p.id = s.programme_id JOIN site t ON t.id = s.site_id
			WHERE s.id = ? AND s.programme_id = ?`, id, programme)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return NamedSlot{}, ErrNoSlot
	}
	if err != nil {
		return NamedSlot{}, fmt.Errorf("read a slot: %w", err)
	}
	return NamedSlot{Slot: Slot{ID: r.ID, SiteID: r.SiteID, StartsAt: r.StartsAt.In(zones{}.location(r.Zone))}, Site: Text{r.Ko, r.En}}, nil
}

// SiteOf reads a site of a programme. ErrNotFound when there is none of that id.
func (s *Service) SiteOf(ctx context.Context, programme, id string) (Site, error) {
	if !idForm.MatchString(id) {
		return Site{}, ErrNotFound
	}
	site := Site{ID: id}
	err := s.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var name struct {
			Ko string `db:"name_ko"`
			En string `db:"name_en"`
		}
		err := tx.Get(ctx, &name, `SELECT name_ko, name_en FROM site WHERE id = ? AND programme_id = ?`, id, programme)
		site.Name = Text(name)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Site{}, ErrNotFound
	}
	if err != nil {
		return Site{}, fmt.Errorf("read a site: %w", err)
	}
	return site, nil
}
