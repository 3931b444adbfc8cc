package trail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

func each(t *testing.T, fn func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); fn(t, dbtest.SQLite(t, sqldb.Options{})) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); fn(t, dbtest.Postgres(t, sqldb.Options{})) })
}

func add(t *testing.T, db *sqldb.DB, e Entry) {
	t.Helper()
	if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return Append(ctx, tx, e) }); err != nil {
		t.Error(err)
	}
}

const reservation = "01a21d8e-3ffe-735f-a8ca-fd6f540b308e"

func TestTrail(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		if v, err := Verify(t.Context(), db); err != nil || v.Bad != 0 || v.Entries != 0 {
			t.Errorf("empty: %+v, %v", v, err)
		}
		for i := range 5 {
			add(t, db, Entry{Actor: "staff:kim", Action: Viewed, Reservation: reservation, Detail: fmt.Sprint(i)})
			add(t, db, Entry{Actor: "cli:root", Action: StaffAdded, Detail: "lee"})
		}
		undone := errors.New("undone")
		if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return errors.Join(Append(ctx, tx, Entry{Actor: "staff:kim", Action: Resent}), undone)
		}); !errors.Is(err, undone) {
			t.Error(err)
		}
		v, err := Verify(t.Context(), db)
		if err != nil || v.Bad != 0 || v.Entries != 10 || len(v.Head) != 64 {
			t.Errorf("%+v, %v", v, err)
		}
		page, err := Read(t.Context(), db, "", 0, 3)
		if err != nil || len(page) != 3 || page[0].Seq != 10 || page[0].Actor != "cli:root" || page[2].Detail != "4" && page[1].Detail != "4" {
			t.Errorf("%+v, %v", page, err)
		}
		of, err := Read(t.Context(), db, reservation, page[2].Seq, 100)
		if err != nil || len(of) != 4-int(page[2].Seq%2) && len(of) != 4 || of[0].Reservation != reservation {
			t.Errorf("%+v, %v", of, err)
		}
	})
}

// However many append at once, there is one chain without a gap.
func TestManyAppend(t *testing.T) {
	each(t, func(t *testing.T, db *sqldb.DB) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 10 {
					add(t, db, Entry{Actor: fmt.Sprint("staff:", i), Action: Searched})
				}
			})
		}
		all.Wait()
		if v, err := Verify(t.Context(), db); err != nil || v.Bad != 0 || v.Entries != 80 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// Nothing can be changed, and whoever takes away what forbids it is found out.
func TestTampering(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql []string
		bad int64
		why string
	}{
		"an altered word":       {[]string{`UPDATE staff_trail SET detail = 'x' WHERE seq = 4`}, 4, "not as it was written"},
		"another actor":         {[]string{`UPDATE staff_trail SET actor = 'staff:lee' WHERE seq = 1`}, 1, "not as it was written"},
		"another reservation":   {[]string{`UPDATE staff_trail SET reservation_id = NULL WHERE seq = 3`}, 3, "not as it was written"},
		"one taken out":         {[]string{`DELETE FROM staff_trail WHERE seq = 5`}, 5, "missing"},
		"the first taken out":   {[]string{`DELETE FROM staff_trail WHERE seq = 1`}, 1, "missing"},
		"the end cut off":       {[]string{`DELETE FROM staff_trail WHERE seq > 7`}, 8, "and so are all after it"},
		"all of it":             {[]string{`DELETE FROM staff_trail`}, 1, "and so are all after it"},
		"the head set back":     {[]string{`UPDATE staff_trail_head SET seq = 9`}, 10, "the head does not know it"},
		"the head made another": {[]string{`UPDATE staff_trail_head SET hash = previous FROM staff_trail t WHERE t.seq = 10`}, 10, "the head does not know it"},
		"two exchanged": {[]string{`UPDATE staff_trail SET seq = 100 WHERE seq = 2`, `UPDATE staff_trail SET seq = 2 WHERE seq = 3`,
			`UPDATE staff_trail SET seq = 3 WHERE seq = 100`}, 2, "does not follow"},
		"fields that run together": {[]string{`UPDATE staff_trail SET actor = 'staff:kimv', action = 'iewed' WHERE seq = 6`}, 6, "not as it was written"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, db *sqldb.DB) {
				for i := range 10 {
					add(t, db, Entry{Actor: "staff:kim", Action: Viewed, Reservation: reservation, Detail: fmt.Sprint(i)})
				}
				change := func(statements ...string) error {
					return db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
						for _, s := range statements {
							if _, err := tx.Exec(ctx, s); err != nil {
								return err
							}
						}
						return nil
					})
				}
				if err := change(c.sql...); err == nil && !strings.Contains(c.sql[0], "_head") {
					t.Fatal("the database lets it be changed") // but the head, of which it is found out
				}
				drop := []string{`DROP TRIGGER staff_trail_keep_rows`, `DROP TRIGGER staff_trail_keep_words`}
				if db.Dialect() == sqldb.Postgres {
					drop = []string{`DROP TRIGGER staff_trail_keep ON staff_trail`}
				}
				if err := change(append(drop, c.sql...)...); err != nil {
					t.Fatal(err)
				}
				v, err := Verify(t.Context(), db)
				if err != nil || v.Bad != c.bad || !strings.Contains(v.Why, c.why) {
					t.Errorf("%+v, %v; want entry %d: %s", v, err, c.bad, c.why)
				}
			})
		})
	}
}
