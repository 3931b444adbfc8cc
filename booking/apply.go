package booking

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ansim/schema/sqldb"
)

// The actions of a Change.
const (
	Added   = "added"
	Changed = "changed"
	Removed = "removed"
)

// ApplyOptions say how a programme file is applied.
type ApplyOptions struct {
	By     string // who changes it, for the log
	DryRun bool   // change nothing: only say what would be changed, or refused
}

// errDryRun undoes a run that was only to say what it would do.
var errDryRun = errors.New("dry run")

// applying is one run of ApplyProgramme.
type applying struct {
	tx      *sqldb.Tx
	now     time.Time
	by      string
	file    ProgrammeFile
	changes []Change
	reasons []string // against it
	booked  map[string]bool
}

// ApplyProgramme brings the database to what file says, in one transaction, and returns what it changed: nothing when it is
// applied again. Rules, sites and slots that the file no longer names are removed. It is refused as a whole, with
// ErrBreaksBookings and every reason, when a slot or site that has reservations would go or move, a capacity fall below
// what is taken, the zone of a programme with reservations change, or an id of another programme be used. It may run while
// people book: those who want a slot of the programme wait for it. What it changed is kept; see ProgrammeLog.
func ApplyProgramme(ctx context.Context, db *sqldb.DB, file ProgrammeFile, opts ApplyOptions) ([]Change, error) {
	by, ok := line(opts.By, 100)
	if !ok || by == "" {
		return nil, fmt.Errorf("apply programme %s: who changes it %w", file.ID, problem(SlugRequestedBy))
	}
	var a *applying
	err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		a = &applying{tx: tx, now: now, by: by, file: file}
		for _, step := range []func(context.Context) error{a.programme, a.rules, a.sitesAndSlots} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		if len(a.reasons) > 0 {
			return fmt.Errorf("%w:\n  %s", ErrBreaksBookings, strings.Join(a.reasons, "\n  "))
		}
		if opts.DryRun {
			return errDryRun
		}
		return a.log(ctx)
	})
	if err != nil && !(opts.DryRun && errors.Is(err, errDryRun)) {
		return nil, fmt.Errorf("apply programme %s: %w", file.ID, err)
	}
	return a.changes, nil
}

func (a *applying) did(action, what, id string, details ...string) {
	a.changes = append(a.changes, Change{Action: action, What: what, ID: id, Detail: strings.Join(details, ", ")})
}

func (a *applying) against(format string, args ...any) {
	a.reasons = append(a.reasons, fmt.Sprintf(format, args...))
}

// differ collects what is not as it was: names, each with the old value and the new.
type differ []string

func (d *differ) is(name, old, now string) {
	if old != now {
		*d = append(*d, name+" "+old+" → "+now)
	}
}

// String is the text in both languages.
func (t Text) String() string { return t.Ko + " / " + t.En }

// instant writes a time for a Change.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (a *applying) programme(ctx context.Context) error {
	p, now := a.file, a.now
	opens, closes := sqldb.At(p.OpensAt), sqldb.At(p.ClosesAt)
	n, err := a.tx.Exec(ctx, `INSERT INTO programme (id, name_ko, name_en, tag_ko, tag_en, time_zone, opens_at, closes_at, applied_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		p.ID, p.Name.Ko, p.Name.En, p.Tag.Ko, p.Tag.En, p.TimeZone, opens, closes, sqldb.At(now))
	if err != nil {
		return fmt.Errorf("store the programme: %w", err)
	}
	if n == 1 {
		a.did(Added, "programme", p.ID)
		return nil
	}
	// From here until the end no other apply of this programme runs. An UPDATE locks less than FOR UPDATE does: bookings,
	// whose references look at the programme's key, go on.
	if _, err := a.tx.Exec(ctx, "UPDATE programme SET applied_at = ? WHERE id = ?", sqldb.At(now), p.ID); err != nil {
		return fmt.Errorf("lock the programme: %w", err)
	}
	rows, err := listRows(ctx, a.tx, "WHERE p.id = ?", p.ID)
	if err != nil {
		return err
	}
	old := rows[0]
	var d differ
	d.is("name", Text{old.NameKo, old.NameEn}.String(), p.Name.String())
	d.is("tag", Text{old.TagKo, old.TagEn}.String(), p.Tag.String())
	d.is("time_zone", old.Zone, p.TimeZone)
	d.is("opens_at", instant(old.Opens.Time), instant(opens.Time))
	d.is("closes_at", instant(old.Closes.Time), instant(closes.Time))
	if len(d) == 0 {
		return nil
	}
	if old.Zone != p.TimeZone {
		booked, err := a.bookedSlots(ctx)
		if err != nil {
			return err
		}
		if len(booked) > 0 {
			a.against("time_zone: the programme has reservations, whose people were told the time of day in %s", old.Zone)
		}
	}
	a.did(Changed, "programme", p.ID, d...)
	_, err = a.tx.Exec(ctx, `UPDATE programme SET name_ko = ?, name_en = ?, tag_ko = ?, tag_en = ?, time_zone = ?, opens_at = ?,
		closes_at = ? WHERE id = ?`, p.Name.Ko, p.Name.En, p.Tag.Ko, p.Tag.En, p.TimeZone, opens, closes, p.ID)
	if err != nil {
		return fmt.Errorf("change the programme: %w", err)
	}
	return nil
}

// bookedSlots are the slots of the programme that have reservations, also cancelled ones. They are read when they are
// first asked for: most files move and remove nothing.
func (a *applying) bookedSlots(ctx context.Context) (map[string]bool, error) {
	if a.booked != nil {
		return a.booked, nil
	}
	var ids []string
	if err := a.tx.Select(ctx, &ids, "SELECT DISTINCT slot_id FROM reservation WHERE programme_id = ?", a.file.ID); err != nil {
		return nil, fmt.Errorf("look for reservations: %w", err)
	}
	a.booked = make(map[string]bool, len(ids))
	for _, id := range ids {
		a.booked[id] = true
	}
	return a.booked, nil
}

type ruleRow struct {
	ID       string     `db:"id"`
	Position int        `db:"position"`
	BornFrom string     `db:"born_from"`
	BornTo   string     `db:"born_to"`
	Opens    sqldb.Time `db:"opens_at"`
	Closes   sqldb.Time `db:"closes_at"`
}

// rules brings the rules to the file's. No reservation hangs on a rule: who has booked stays booked.
func (a *applying) rules(ctx context.Context) error {
	var rows []ruleRow
	if err := a.tx.Select(ctx, &rows, `SELECT id, position, born_from, born_to, opens_at, closes_at FROM programme_rule
		WHERE programme_id = ? ORDER BY position`, a.file.ID); err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	old := make(map[string]ruleRow, len(rows))
	for _, r := range rows {
		old[r.ID] = r
	}
	for i, r := range a.file.Rules {
		opens, closes := sqldb.At(r.OpensAt), sqldb.At(r.ClosesAt)
		was, known := old[r.ID]
		delete(old, r.ID)
		if known {
			var d differ
			d.is("position", strconv.Itoa(was.Position+1), strconv.Itoa(i+1))
			d.is("born_from", was.BornFrom, r.BornFrom)
			d.is("born_to", was.BornTo, r.BornTo)
			d.is("opens_at", instant(was.Opens.Time), instant(opens.Time))
			d.is("closes_at", instant(was.Closes.Time), instant(closes.Time))
			if len(d) == 0 {
				continue
			}
			a.did(Changed, "rule", r.ID, d...)
		} else {
			a.did(Added, "rule", r.ID)
		}
		if _, err := a.tx.Exec(ctx, `INSERT INTO programme_rule (programme_id, id, position, born_from, born_to, opens_at, closes_at)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (programme_id, id) DO UPDATE SET position = excluded.position,
			born_from = excluded.born_from, born_to = excluded.born_to, opens_at = excluded.opens_at,
			closes_at = excluded.closes_at`, a.file.ID, r.ID, i, r.BornFrom, r.BornTo, opens, closes); err != nil {
			return fmt.Errorf("store rule %s: %w", r.ID, err)
		}
	}
	for _, r := range rows {
		if _, gone := old[r.ID]; !gone {
			continue
		}
		a.did(Removed, "rule", r.ID)
		if _, err := a.tx.Exec(ctx, "DELETE FROM programme_rule WHERE programme_id = ? AND id = ?", a.file.ID, r.ID); err != nil {
			return fmt.Errorf("remove rule %s: %w", r.ID, err)
		}
	}
	return nil
}
