package booking

import (
	"context"
	"fmt"
	"time"

	"ansim/schema/sqldb"
)

type programmeRow struct {
	ID     string     `db:"id"`
	NameKo string     `db:"name_ko"`
	NameEn string     `db:"name_en"`
	TagKo  string     `db:"tag_ko"`
	TagEn  string     `db:"tag_en"`
	Zone   string     `db:"time_zone"`
	Opens  sqldb.Time `db:"opens_at"`
	Closes sqldb.Time `db:"closes_at"`
}

func listRows(ctx context.Context, tx *sqldb.Tx, rest string, args ...any) ([]programmeRow, error) {
	var rows []programmeRow
	err := tx.Select(ctx, &rows, `SELECT p.id, p.name_ko, p.name_en, p.tag_ko, p.tag_en, p.time_zone, p.opens_at, p.closes_at
		FROM programme p `+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("read programmes: %w", err)
	}
	return rows, nil
}

// Catalogue is what there is to book in, as it was at an instant of the database's clock.
type Catalogue struct {
	Programmes []Programme
	At         time.Time
}

// ListProgrammes returns all programmes, by id, with their rules in order and their figures. Times are in their zones.
func ListProgrammes(ctx context.Context, db *sqldb.DB) (Catalogue, error) {
	var c Catalogue
	err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		c = Catalogue{}
		var err error
		if c.At, err = tx.Now(ctx); err != nil {
			return err
		}
		rows, err := listRows(ctx, tx, "ORDER BY p.id")
		if err != nil {
			return err
		}
		ids := map[string]bool{}
		for _, r := range rows {
			ids[r.ID] = true
		}
		z := zones{}
		withRules, err := loadProgrammes(ctx, tx, ids, z)
		if err != nil {
			return err
		}
		for _, r := range rows {
			loc := z.location(r.Zone)
			p := Programme{ID: r.ID, Name: Text{r.NameKo, r.NameEn}, Tag: Text{r.TagKo, r.TagEn}, TimeZone: r.Zone,
				OpensAt: r.Opens.In(loc), ClosesAt: r.Closes.In(loc), Rules: withRules[r.ID].rules}
			if err := countSlots(ctx, tx, &p); err != nil {
				return err
			}
			c.Programmes = append(c.Programmes, p)
		}
		return nil
	})
	return c, err
}

// Programmes is ListProgrammes on the service's database.
func (s *Service) Programmes(ctx context.Context) (Catalogue, error) {
	return ListProgrammes(ctx, s.db)
}

func countSlots(ctx context.Context, tx *sqldb.Tx, p *Programme) error {
	var n struct {
		Slots    int `db:"slots"`
		Capacity int `db:"capacity"`
		Taken    int `db:"taken"`
	}
	if err := tx.Get(ctx, &n, `SELECT COUNT(*) AS slots, COALESCE(SUM(capacity), 0) AS capacity, COALESCE(SUM(taken), 0) AS taken
		FROM slot WHERE programme_id = ?`, p.ID); err != nil {
		return fmt.Errorf("count slots: %w", err)
	}
	if err := tx.Get(ctx, &p.Sites, "SELECT COUNT(*) FROM site WHERE programme_id = ?", p.ID); err != nil {
		return fmt.Errorf("count sites: %w", err)
	}
	p.Slots, p.Capacity, p.Taken = n.Slots, n.Capacity, n.Taken
	return nil
}
