package booking

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"ansim/schema/sqldb"
)

// LoggedChange is a Change that was made.
type LoggedChange struct {
	Change
	ProgrammeID string
	At          time.Time
	By          string // who, in their own words
}

// log keeps what was changed.
func (a *applying) log(ctx context.Context) error {
	col := func(name string, t sqldb.Type) sqldb.Column { return sqldb.Column{Name: name, Type: t} }
	const columns = "id, programme_id, changed_at, changed_by, action, what, what_id, detail"
	for at := 0; at < len(a.changes); at += chunk {
		src := sqldb.NewRows("made", col("id", sqldb.UUID), col("programme_id", sqldb.Text), col("changed_at", sqldb.Timestamp),
			col("changed_by", sqldb.Text), col("action", sqldb.Text), col("what", sqldb.Text), col("what_id", sqldb.Text),
			col("detail", sqldb.Text))
		for n := at; n < min(at+chunk, len(a.changes)); n++ {
			id, err := uuid.NewV7() // in order, so they also say which of one instant came first
			if err != nil {
				return fmt.Errorf("make an id: %w", err)
			}
			c := a.changes[n]
			src.Add(id.String(), a.file.ID, sqldb.At(a.now), a.by, c.Action, c.What, c.ID, c.Detail)
		}
		with, args := a.tx.Source(src)
		if _, err := a.tx.Exec(ctx, "WITH "+with+" INSERT INTO programme_change ("+columns+") SELECT "+columns+" FROM made", args...); err != nil {
			return fmt.Errorf("keep what was changed: %w", err)
		}
	}
	return nil
}

// ProgrammeLog returns what was changed of a programme, or of all for "", oldest first.
func ProgrammeLog(ctx context.Context, db *sqldb.DB, programmeID string) ([]LoggedChange, error) {
	var rows []struct {
		ProgrammeID string     `db:"programme_id"`
		At          sqldb.Time `db:"changed_at"`
		By          string     `db:"changed_by"`
		Action      string     `db:"action"`
		What        string     `db:"what"`
		ID          string     `db:"what_id"`
		Detail      string     `db:"detail"`
	}
	err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		rows = nil
		return tx.Select(ctx, &rows, `SELECT programme_id, changed_at, changed_by, action, what, what_id, detail FROM programme_change
			WHERE programme_id = ? OR ? = '' ORDER BY changed_at, id`, programmeID, programmeID)
	})
	if err != nil {
		return nil, fmt.Errorf("read what was changed of programmes: %w", err)
	}
	all := make([]LoggedChange, len(rows))
	for i, r := range rows {
		all[i] = LoggedChange{Change: Change{Action: r.Action, What: r.What, ID: r.ID, Detail: r.Detail}, ProgrammeID: r.ProgrammeID, At: r.At.Time, By: r.By}
	}
	return all, nil
}
