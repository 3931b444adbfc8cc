package booking

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ansim/schema/event"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

// The columns that row reads; r is reservation, s slot, p programme.
const (
	ownColumns = `r.id, r.code, r.programme_id, r.slot_id, r.api_key_id, r.version, r.status, r.identity_hash, r.name,
	r.birth_date, r.phone, r.language, r.booker_name, r.booker_phone, r.reference, r.created_at, r.updated_at`
	reservationColumns = ownColumns + `, s.site_id, s.starts_at, p.time_zone`
	reservationTables  = ` FROM reservation r JOIN slot s ON s.id = r.slot_id JOIN programme p ON p.id = r.programme_id `
)

// row is a reservation as it is stored, with what it needs of its slot and programme.
type row struct {
	ID          string     `db:"id"`
	Code        string     `db:"code"`
	ProgrammeID string     `db:"programme_id"`
	SlotID      string     `db:"slot_id"`
	KeyID       string     `db:"api_key_id"`
	Version     int        `db:"version"`
	Status      string     `db:"status"`
	Identity    []byte     `db:"identity_hash"`
	Name        string     `db:"name"`
	BirthDate   string     `db:"birth_date"`
	Phone       string     `db:"phone"`
	Language    string     `db:"language"`
	BookerName  *string    `db:"booker_name"`
	BookerPhone *string    `db:"booker_phone"`
	Reference   *string    `db:"reference"`
	Created     sqldb.Time `db:"created_at"`
	Updated     sqldb.Time `db:"updated_at"`
	SiteID      string     `db:"site_id"`
	StartsAt    sqldb.Time `db:"starts_at"`
	TimeZone    string     `db:"time_zone"`
	ToResident  int        `db:"to_resident"` // newest resend; see Resends
	ToBooker    int        `db:"to_booker"`
}

func (r *row) reservation(z zones) Reservation {
	loc := z.location(r.TimeZone)
	v := Reservation{
		ID: r.ID, Code: r.Code, Version: r.Version, Status: r.Status, ProgrammeID: r.ProgrammeID,
		Slot: Slot{ID: r.SlotID, SiteID: r.SiteID, StartsAt: r.StartsAt.In(loc)},
		Name: personal.Name(r.Name), BirthDate: r.BirthDate, Phone: personal.Phone(r.Phone), Language: r.Language,
		CreatedAt: r.Created.In(loc), UpdatedAt: r.Updated.In(loc), TimeZone: r.TimeZone,
		Resends: Resends{Resident: r.ToResident, Booker: r.ToBooker},
	}
	v.Booker = r.booker()
	if r.Reference != nil {
		v.Reference = *r.Reference
	}
	return v
}

func (r *row) booker() *Person {
	if r.BookerPhone == nil || r.BookerName == nil {
		return nil
	}
	return &Person{Name: personal.Name(*r.BookerName), Phone: personal.Phone(*r.BookerPhone)}
}

// resendColumns follow reservationColumns where a reservation is read to be shown.
var resendColumns = ", " + newestResend(event.Resident) + " AS to_resident, " + newestResend(event.Booker) + " AS to_booker"

func newestResend(to event.Recipient) string {
	return "COALESCE((SELECT " + sentTo(to) + " FROM resend x WHERE x.reservation_id = r.id AND x.version = r.version), 0)"
}

// zones keeps the zones of one piece of work: LoadLocation reads a file each time.
type zones map[string]*time.Location

// location is the zone called name, UTC should this machine not know it: a time is then written with another offset, but
// it is the same instant. Programmes are stored with zones that were known.
func (z zones) location(name string) *time.Location {
	if loc := z[name]; loc != nil {
		return loc
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		loc = time.UTC
	}
	z[name] = loc
	return loc
}

// Get returns a reservation of the client's. It reads only, so it answers also while the writer is busy. ErrNotFound also
// when it is another client's.
func (s *Service) Get(ctx context.Context, client Client, id string) (Reservation, error) {
	id, ok := parseID(id)
	if !ok || client.only != "" && client.only != id {
		return Reservation{}, ErrNotFound
	}
	var r row
	err := s.db.Peek(ctx, &r, "SELECT "+reservationColumns+resendColumns+reservationTables+"WHERE r.id = ? AND r.api_key_id = ?",
		id, client.KeyID)
	if errors.Is(err, sql.ErrNoRows) {
		return Reservation{}, ErrNotFound
	}
	if err != nil {
		return Reservation{}, fmt.Errorf("read a reservation: %w", err)
	}
	return r.reservation(zones{}), nil
}

// FindByCode returns the id of the reservation with that code, in any form that ParseCode takes, whichever client's it is: for
// staff and the command line. ErrNotFound when there is none; a code that cannot be one is a *ValidationProblem.
func FindByCode(ctx context.Context, db *sqldb.DB, code string) (id string, err error) {
	parsed, err := ParseCode(code)
	if err != nil {
		return "", err
	}
	err = db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Get(ctx, &id, "SELECT id FROM reservation WHERE code = ?", parsed)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("find a reservation: %w", err)
	}
	return id, nil
}

// searchLimit is the most that Search returns: the newest.
const searchLimit = 100

// Search returns the client's reservations that have the code (in any form that ParseCode takes) and the reference, newest
// first, at most 100; "" asks for none of the two in particular, and both empty finds nothing, as does a resident. A code that cannot be one
// is a *ValidationProblem.
func (s *Service) Search(ctx context.Context, client Client, code, reference string) ([]Reservation, error) {
	where, args := "r.api_key_id = ?", []any{client.KeyID}
	if code != "" {
		parsed, err := ParseCode(code)
		if err != nil {
			return nil, err
		}
		where, args = where+" AND r.code = ?", append(args, parsed)
	}
	if reference != "" {
		where, args = where+" AND r.reference = ?", append(args, reference)
	}
	if len(args) == 1 || client.only != "" {
		return nil, nil
	}
	var rows []row
	err := s.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		rows = nil
		return tx.Select(ctx, &rows, "SELECT "+reservationColumns+resendColumns+reservationTables+"WHERE "+where+
			" ORDER BY r.created_at DESC, r.id DESC LIMIT ?", append(args, searchLimit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("search reservations: %w", err)
	}
	found, z := make([]Reservation, len(rows)), zones{}
	for i := range rows {
		found[i] = rows[i].reservation(z)
	}
	return found, nil
}
