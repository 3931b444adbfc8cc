package booking

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ansim/schema/event"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

// keyLife is how long a key lives after its programme closed (or after the answer, when that was later).
const keyLife = 72 * time.Hour

// outcome is what a request came to: a reply, or a refusal.
type outcome struct {
	reply   Reply
	refusal *Refusal
}

// finals are the refusals that are stored and so given again to the same key, with their names in what is stored and the
// status that the API answers. Missing are those that pass with time, such as ErrNotOpenYet, and ErrNoBooker, which the API
// answers as what it is: a request that is wrong in itself.
var finals = []struct {
	kind   error
	name   string
	status int
}{
	{ErrNotFound, "not-found", 404},
	{ErrNoSlot, "no-slot", 404}, // after the one that it wraps: the last that matches counts
	{ErrWindowClosed, "window-closed", 403},
	{ErrNotEligible, "not-eligible", 403},
	{ErrSlotFull, "slot-full", 409},
	{ErrAlreadyBooked, "already-booked", 409},
	{ErrNotChangeable, "not-changeable", 409},
	{ErrAppointmentPast, "appointment-past", 409}, // as above
	{ErrVersionMismatch, "version-mismatch", 412},
}

// storedOutcome is the body of an idempotency row: what the request does not say itself. See the package's comment.
type storedOutcome struct {
	Reply   *storedReply   `json:"reply,omitempty"`
	Refusal *storedRefusal `json:"refusal,omitempty"`
}

type storedReply struct {
	Code      string    `json:"code"`
	Version   int       `json:"version"`
	Status    string    `json:"status"`
	Programme string    `json:"programme"`
	Slot      string    `json:"slot"`
	Site      string    `json:"site"`
	StartsAt  time.Time `json:"starts_at"`
	Zone      string    `json:"zone"`
	Reference string    `json:"reference,omitempty"`
	Created   time.Time `json:"created_at"`
	Updated   time.Time `json:"updated_at"`
	New       bool      `json:"new"`
	Unchanged bool      `json:"unchanged,omitempty"`

	Resent *storedResent `json:"resent,omitempty"`
}

type storedResent struct {
	EventID       string            `json:"event_id"`
	Number        int               `json:"number"`
	Recipients    []event.Recipient `json:"recipients"`
	ResidentState string            `json:"resident_state"`
}

type storedRefusal struct {
	Kind         string       `json:"kind"`
	Programme    string       `json:"programme,omitempty"`
	Rule         string       `json:"rule,omitempty"`
	Zone         string       `json:"zone"`
	OpensAt      time.Time    `json:"opens_at,omitzero"`
	ClosesAt     time.Time    `json:"closes_at,omitzero"`
	ServerTime   time.Time    `json:"server_time"`
	Alternatives []storedSlot `json:"alternatives,omitempty"`
	Version      int          `json:"version,omitempty"`
}

type storedSlot struct {
	ID       string    `json:"id"`
	Site     string    `json:"site"`
	StartsAt time.Time `json:"starts_at"`
}

// keyRow is a row of idempotency_key.
type keyRow struct {
	KeyID         string     `db:"api_key_id"`
	Route         string     `db:"route"`
	Key           string     `db:"key"`
	Fingerprint   []byte     `db:"fingerprint"`
	Body          []byte     `db:"body"`
	ReservationID *string    `db:"reservation_id"`
	Expires       sqldb.Time `db:"expires_at"`
	status        int
}

func (k *keyRow) flight() flight { return flight{k.KeyID, k.Route, k.Key} }

func (r *request) flight() flight { return flight{r.call.Client.KeyID, r.call.Route, r.call.Key} }

// loadKeys reads what was answered before to the keys of reqs. Rows that have expired by now count as gone: they are expired,
// and make room for new ones (see storeKeys).
func loadKeys(ctx context.Context, tx *sqldb.Tx, reqs []*request, now time.Time) (found map[flight]*keyRow, expired []flight, err error) {
	asked := sqldb.NewRows("asked", sqldb.Column{Name: "api_key_id", Type: sqldb.UUID},
		sqldb.Column{Name: "route", Type: sqldb.Text}, sqldb.Column{Name: "key", Type: sqldb.Text})
	for _, r := range reqs {
		asked.Add(r.call.Client.KeyID, r.call.Route, r.call.Key)
	}
	with, args := tx.Source(asked)
	var rows []keyRow
	err = tx.Select(ctx, &rows, "WITH "+with+` SELECT k.api_key_id, k.route, k.key, k.fingerprint, k.body, k.reservation_id,
			k.expires_at
		FROM asked a JOIN idempotency_key k ON k.api_key_id = a.api_key_id AND k.route = a.route AND k.key = a.key`, args...)
	if err != nil {
		return nil, nil, fmt.Errorf("read idempotency keys: %w", err)
	}
	found = make(map[flight]*keyRow, len(rows))
	for i := range rows {
		if rows[i].Expires.After(now) {
			found[rows[i].flight()] = &rows[i]
		} else {
			expired = append(expired, rows[i].flight())
		}
	}
	return found, expired, nil
}

// storeKeys inserts the rows. errRaced when another process answered one of the keys meanwhile: the index has made this
// one wait for that one's commit.
//
// The statement fails as a whole then, and with it the transaction, which is to be undone anyway. To ask the index first and
// insert after (ON CONFLICT) would cost every row more than the insert itself.
func storeKeys(ctx context.Context, tx *sqldb.Tx, keys []*keyRow, expired []flight, now time.Time) error {
	if len(keys) == 0 {
		return nil
	}
	if err := dropKeys(ctx, tx, expired, now); err != nil {
		return err
	}
	rows := sqldb.NewRows("answered", sqldb.Column{Name: "api_key_id", Type: sqldb.UUID},
		sqldb.Column{Name: "route", Type: sqldb.Text}, sqldb.Column{Name: "key", Type: sqldb.Text},
		sqldb.Column{Name: "fingerprint", Type: sqldb.Bytes}, sqldb.Column{Name: "status", Type: sqldb.Int},
		sqldb.Column{Name: "body", Type: sqldb.Bytes}, sqldb.Column{Name: "reservation_id", Type: sqldb.UUID},
		sqldb.Column{Name: "created_at", Type: sqldb.Timestamp}, sqldb.Column{Name: "expires_at", Type: sqldb.Timestamp})
	for _, k := range keys {
		rows.Add(k.KeyID, k.Route, k.Key, k.Fingerprint, k.status, k.Body, k.ReservationID, sqldb.At(now), k.Expires)
	}
	with, args := tx.Source(rows)
	_, err := tx.Exec(ctx, "WITH "+with+` INSERT INTO idempotency_key
			(api_key_id, route, key, fingerprint, status, body, reservation_id, created_at, expires_at)
		SELECT api_key_id, route, key, fingerprint, status, body, reservation_id, created_at, expires_at
		FROM answered ORDER BY api_key_id, route, key`, args...)
	if sqldb.IsUnique(err) {
		return errRaced
	}
	if err != nil {
		return fmt.Errorf("store idempotency keys: %w", err)
	}
	return nil
}

// dropKeys removes rows that have expired.
func dropKeys(ctx context.Context, tx *sqldb.Tx, expired []flight, now time.Time) error {
	if len(expired) == 0 {
		return nil
	}
	rows := sqldb.NewRows("gone", sqldb.Column{Name: "api_key_id", Type: sqldb.UUID},
		sqldb.Column{Name: "route", Type: sqldb.Text}, sqldb.Column{Name: "key", Type: sqldb.Text})
	for _, f := range expired {
		rows.Add(f.keyID, f.route, f.key)
	}
	with, args := tx.Source(rows)
	if _, err := tx.Exec(ctx, "WITH "+with+` DELETE FROM idempotency_key WHERE expires_at <= ?
		AND (api_key_id, route, key) IN (SELECT api_key_id, route, key FROM gone)`, append(args, sqldb.At(now))...); err != nil {
		return fmt.Errorf("remove expired idempotency keys: %w", err)
	}
	return nil
}

// remember is the row to store for the answer to req, nil for one that is not stored. p is nil when no programme is
// concerned.
func remember(req *request, o outcome, p *programme, now time.Time) (*keyRow, error) {
	k := &keyRow{KeyID: req.call.Client.KeyID, Route: req.call.Route, Key: req.call.Key,
		Fingerprint: req.call.Fingerprint[:]}
	end := now
	if p != nil && p.closesAt.After(now) {
		end = p.closesAt
	}
	k.Expires = sqldb.At(end.Add(keyLife))
	var body storedOutcome
	if o.refusal == nil {
		v := &o.reply.Reservation
		k.ReservationID, k.status = &v.ID, 200
		switch {
		case o.reply.Created:
			k.status = 201
		case o.reply.Resent != nil:
			k.status = 202
		}
		body.Reply = &storedReply{Code: v.Code, Version: v.Version, Status: v.Status, Programme: v.ProgrammeID,
			Slot: v.Slot.ID, Site: v.Slot.SiteID, StartsAt: v.Slot.StartsAt, Zone: v.TimeZone, Reference: v.Reference,
			Created: v.CreatedAt, Updated: v.UpdatedAt, New: o.reply.Created, Unchanged: o.reply.Unchanged}
		if t := o.reply.Resent; t != nil {
			body.Reply.Resent = &storedResent{t.EventID, t.Number, t.Recipients, t.ResidentState}
		}
	} else {
		f := o.refusal
		for _, final := range finals {
			if errors.Is(f.Kind, final.kind) {
				k.status = final.status
				body.Refusal = &storedRefusal{Kind: final.name, Programme: f.ProgrammeID, Rule: f.Rule,
					Zone: "UTC", OpensAt: f.OpensAt, ClosesAt: f.ClosesAt, ServerTime: f.ServerTime, Version: f.Version}
			}
		}
		if body.Refusal == nil {
			return nil, nil
		}
		if p != nil {
			body.Refusal.Zone = p.zone
		}
		for _, a := range f.Alternatives {
			body.Refusal.Alternatives = append(body.Refusal.Alternatives, storedSlot{a.ID, a.SiteID, a.StartsAt})
		}
	}
	var err error
	if k.Body, err = json.Marshal(body); err != nil {
		return nil, fmt.Errorf("write down an answer: %w", err)
	}
	return k, nil
}

// replay answers req as k says it was answered before. For a change or a resend target is the reservation's row, and past has
// its past versions.
func (k *keyRow) replay(req *request, target *row, past history, z zones) answer {
	if subtle.ConstantTimeCompare(k.Fingerprint, req.call.Fingerprint[:]) != 1 {
		return answer{err: ErrKeyReused}
	}
	var body storedOutcome
	if err := json.Unmarshal(k.Body, &body); err != nil {
		return answer{err: fmt.Errorf("read a stored answer: %w", err)}
	}
	switch {
	case body.Reply != nil && k.ReservationID != nil:
		r := body.Reply
		loc := z.location(r.Zone)
		v := Reservation{ID: *k.ReservationID, Code: r.Code, Version: r.Version, Status: r.Status, ProgrammeID: r.Programme,
			Slot: Slot{ID: r.Slot, SiteID: r.Site, StartsAt: r.StartsAt.In(loc)}, Reference: r.Reference,
			CreatedAt: r.Created.In(loc), UpdatedAt: r.Updated.In(loc), TimeZone: r.Zone}
		if b := req.book; b != nil {
			v.Name, v.BirthDate, v.Phone, v.Language, v.Booker = b.Name, b.BirthDate, b.Phone, b.Language, b.Booker
		} else if target != nil {
			target = past.as(target, r.Version)
			v.Name, v.BirthDate, v.Phone = personal.Name(target.Name), target.BirthDate, personal.Phone(target.Phone)
			v.Language, v.Booker = target.Language, target.booker()
		}
		reply := Reply{Reservation: v, Created: r.New, Unchanged: r.Unchanged, Replayed: true}
		if t := r.Resent; t != nil {
			reply.Resent = &Resent{EventID: t.EventID, Number: t.Number, Version: r.Version, Recipients: t.Recipients,
				ResidentState: t.ResidentState}
		}
		return answer{outcome: outcome{reply: reply}}
	case body.Refusal != nil:
		r := body.Refusal
		loc := z.location(r.Zone)
		in := func(t time.Time) time.Time {
			if t.IsZero() {
				return t
			}
			return t.In(loc)
		}
		f := &Refusal{ProgrammeID: r.Programme, Rule: r.Rule, OpensAt: in(r.OpensAt), ClosesAt: in(r.ClosesAt),
			ServerTime: in(r.ServerTime), Version: r.Version, Replayed: true}
		for _, final := range finals {
			if final.name == r.Kind {
				f.Kind = final.kind
			}
		}
		for _, a := range r.Alternatives {
			f.Alternatives = append(f.Alternatives, Slot{ID: a.ID, SiteID: a.Site, StartsAt: a.StartsAt.In(loc)})
		}
		if f.Kind != nil {
			return answer{outcome: outcome{refusal: f}}
		}
	}
	return answer{err: errors.New("a stored answer is of an unknown kind")}
}
