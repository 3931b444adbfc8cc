package notifier

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"ansim/outbox"
	"ansim/outbox/kafka"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// asideTopic stands in parked_event for the topic of outbox rows that the sweeper set aside; their body is the event's id.
const asideTopic = "outbox"

// Why an event cannot be used, beside what event.Decode says.
const (
	parkedUnknownType = "event of an unknown type"
	parkedRefused     = "the database refuses it"
	parkedNoRow       = "its outbox row is gone"
)

// readParkedEvents reads a page of parked events behind an id, without what they hold.
func readParkedEvents(ctx context.Context, tx *sqldb.Tx, sel Selection, after string, limit int) ([]ParkedItem, error) {
	where, args := `id > ?`, []any{after}
	if sel.ID != "" {
		where, args = where+` AND id = ?`, append(args, sel.ID)
	}
	if sel.Cause != "" {
		where, args = where+` AND reason = ?`, append(args, sel.Cause)
	}
	var rows []struct {
		ID       string     `db:"id"`
		Reason   string     `db:"reason"`
		ParkedAt sqldb.Time `db:"parked_at"`
	}
	err := tx.Select(ctx, &rows, `SELECT id, reason, parked_at FROM parked_event WHERE `+where+` ORDER BY id LIMIT ?`,
		tx.Unplanned(append(args, limit)...)...)
	if err != nil {
		return nil, err
	}
	items := make([]ParkedItem, len(rows))
	for i, r := range rows {
		items[i] = ParkedItem{Kind: ParkedEvents, ID: r.ID, Cause: r.Reason, Since: r.ParkedAt.Time, Standing: StandingOpen}
	}
	return items, nil
}

// Aside counts the events and outbox rows that are set aside because they cannot be used.
func Aside(ctx context.Context, db *sqldb.DB) (n int64, err error) {
	err = db.Peek(ctx, &n, `SELECT COUNT(*) FROM parked_event`)
	return n, wrapped("count what is set aside", err)
}

// eventWhy is a sentence about why an event could not be used.
func eventWhy(reason string) Sentences {
	switch {
	case strings.HasPrefix(reason, event.ErrVersion.Error()), reason == parkedUnknownType:
		return Sentences{"더 새로운 버전의 ansim이 보낸 이벤트입니다. 이 프로그램을 업데이트한 뒤 다시 처리하십시오.",
			"A newer ansim wrote this event. Update this program, then redrive it."}
	case strings.HasPrefix(reason, event.ErrMalformed.Error()):
		return Sentences{"손상되었거나 ansim의 것이 아닌 기록입니다. 예약의 문자는 아웃박스에서 따로 만들어집니다.",
			"The record is damaged or not one of ansim's. The sweeper makes the reservation's texts from the outbox."}
	case reason == parkedRefused:
		return Sentences{"데이터베이스가 이 이벤트의 내용을 받아들이지 않습니다. 로그를 확인하십시오.",
			"The database refuses what this event holds. Look into the log of the notifier."}
	case reason == parkedNoRow:
		return Sentences{"아웃박스에 이 이벤트가 없어 되살릴 수 없습니다.",
			"The outbox does not hold this event any more, so it cannot be brought back."}
	}
	return Sentences{}
}

// unusable is why an event still cannot be used.
type unusable string

func (u unusable) Error() string { return string(u) }

// errRehearsed undoes the transaction of a dry run.
var errRehearsed = errors.New("this was a dry run")

// redriveEvent takes a parked event in again and takes it off the list, in one transaction. It returns how many messages are
// new: none when the sweeper had made them meanwhile. An event that still cannot be used stays, with the reason that holds
// now, which is returned as an unusable; ErrNotParked says that another redrive was quicker. With dry nothing is changed, and
// the answer is what it would be.
func (p *Parked) redriveEvent(ctx context.Context, id string, dry bool, within func(context.Context, *sqldb.Tx) error) (made int64, err error) {
	err = p.DB.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		made = 0
		e, err := parkedEvent(ctx, tx, id)
		if err != nil {
			return err
		}
		if made, err = insert(ctx, tx, []event.Event{e}); err != nil {
			if sqldb.IsRefusedData(err) {
				return unusable(parkedRefused)
			}
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM parked_event WHERE id = ?`, id); err != nil {
			return fmt.Errorf("delete a parked event: %w", err)
		}
		if dry {
			return errRehearsed
		}
		return within(ctx, tx)
	})
	var still unusable
	switch {
	case errors.Is(err, errRehearsed):
		return made, nil
	case errors.As(err, &still) && !dry:
		if err := p.restate(ctx, id, string(still)); err != nil {
			return 0, err
		}
		return 0, still
	}
	return made, err
}

// parkedEvent locks a parked event and reads it as this program understands it.
func parkedEvent(ctx context.Context, tx *sqldb.Tx, id string) (event.Event, error) {
	var row struct {
		Topic   string `db:"topic"`
		Headers string `db:"headers"`
		Body    []byte `db:"body"`
	}
	err := tx.Get(ctx, &row, `SELECT topic, headers, body FROM parked_event WHERE id = ?`+tx.ForUpdate(), id)
	if errors.Is(err, sql.ErrNoRows) {
		return event.Event{}, ErrNotParked
	}
	if err != nil {
		return event.Event{}, fmt.Errorf("read a parked event: %w", err)
	}
	if row.Topic == asideTopic {
		e, found, err := outbox.ByEventID(ctx, tx, string(row.Body))
		switch {
		case err != nil:
			return event.Event{}, err
		case !found:
			return event.Event{}, unusable(parkedNoRow)
		case kindOf[e.Type] == "":
			return event.Event{}, unusable(parkedUnknownType)
		}
		return e, nil
	}
	var headers map[string]string
	if err := json.Unmarshal([]byte(row.Headers), &headers); err != nil { // its own text could quote what the record holds
		return event.Event{}, unusable(event.ErrMalformed.Error() + ": its headers are not as the intake writes them")
	}
	r := kafka.Record{Body: row.Body}
	for k, v := range headers {
		r.Headers = append(r.Headers, event.Header{Key: k, Value: []byte(v)})
	}
	e, err := decode(r)
	if err != nil {
		return event.Event{}, unusable(err.Error())
	}
	return e, nil
}

// restate stores the reason why an event cannot be used now: a newer program may have another one.
func (p *Parked) restate(ctx context.Context, id, reason string) error {
	return p.DB.WriteIdempotent(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE parked_event SET reason = ? WHERE id = ? AND reason <> ?`, reason, id, reason); err != nil {
			return fmt.Errorf("store why an event cannot be used: %w", err)
		}
		return nil
	})
}
