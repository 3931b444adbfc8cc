package booking

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ansim/schema/guesses"
	"ansim/schema/sqldb"
)

// Appointed is a reservation with what its place and programme are called.
type Appointed struct {
	Reservation
	Site      Text
	Programme Text
	// Holder is the resident as a client, since finding the reservation took what only they know: they may change it and ask
	// for its texts, and may see and change no other.
	Holder Client
}

// Proof is what people show for their reservation.
type Proof struct {
	Code string // in any form that ParseCode takes
	// BirthDates are what the resident's may be, YYYY-MM-DD: one, or two where the person left the century out.
	BirthDates []string
	From       string // the network that asks, "" when it is not known; failures are counted by it
}

// Lookup returns the reservation with that code of a resident born on that date, whichever client's it is: for the person
// themselves. ErrNotFound when there is none, for one reason or the other: both take the same single search. A code that cannot
// be one is a *ValidationProblem. Where too many lookups of the code, or from that network, have failed it is a *Refusal with
// ErrTooManyLookups. It reads only, so it answers while bookings queue and texting is down.
func (s *Service) Lookup(ctx context.Context, p Proof) (Appointed, error) {
	code, err := ParseCode(p.Code)
	if err != nil {
		return Appointed{}, err
	}
	if wait := s.lookups.codes.Wait(code); wait > 0 {
		return Appointed{}, &Refusal{Kind: ErrTooManyLookups, RetryAfter: wait}
	}
	found, err := s.find(ctx, code, p.BirthDates)
	if errors.Is(err, ErrNotFound) {
		if wait := max(s.lookups.codes.Count(code), s.lookups.networks.Count(p.From)); wait > 0 {
			return Appointed{}, &Refusal{Kind: ErrTooManyLookups, RetryAfter: wait}
		}
	}
	return found, err
}

// find is the search of Lookup.
func (s *Service) find(ctx context.Context, code string, birthDates []string) (Appointed, error) {
	if len(birthDates) == 0 {
		return Appointed{}, ErrNotFound
	}
	found, err := appointed(ctx, s.db, 1, `r.code = ? AND r.birth_date IN (?, ?)`, code, birthDates[0], birthDates[len(birthDates)-1])
	if err != nil {
		return Appointed{}, fmt.Errorf("look up a reservation: %w", err)
	}
	if len(found) == 0 {
		return Appointed{}, ErrNotFound
	}
	return found[0], nil
}

// appointed reads reservations with what their places and programmes are called, newest first.
func appointed(ctx context.Context, db *sqldb.DB, limit int, where string, args ...any) ([]Appointed, error) {
	var rows []struct {
		row
		SiteKo      string `db:"site_ko"`
		SiteEn      string `db:"site_en"`
		ProgrammeKo string `db:"programme_ko"`
		ProgrammeEn string `db:"programme_en"`
	}
	err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		rows = nil
		return tx.Select(ctx, &rows, "SELECT "+reservationColumns+resendColumns+`, si.name_ko AS site_ko, si.name_en AS site_en,
				p.name_ko AS programme_ko, p.name_en AS programme_en`+reservationTables+`JOIN site si ON si.id = s.site_id
			WHERE `+where+` ORDER BY r.created_at DESC, r.id DESC LIMIT ?`, append(args, limit)...)
	})
	found, z := make([]Appointed, len(rows)), zones{}
	for i := range rows {
		r := &rows[i]
		found[i] = Appointed{Reservation: r.reservation(z), Holder: holder(r.KeyID, r.ID), Site: Text{r.SiteKo, r.SiteEn},
			Programme: Text{r.ProgrammeKo, r.ProgrammeEn}}
	}
	return found, err
}

// The limits of the public lookup. Only failures count, and each process counts its own.
const (
	// codeFailures is how often an hour a lookup of one code may fail. Who was given a code needs one or two; who guesses the
	// birth date to a code that they saw would need thousands.
	codeFailures = 10
	// networkFailures is the same for one network. Thousands of people share a mobile carrier's address, and some of each thousand
	// mistype.
	networkFailures = 3000
)

// lookupLimits counts failed lookups. A code whose failures are used up is not looked up at all, lest guessing go on; a network
// whose failures are used up still finds what is right, since its neighbours did not use them up.
type lookupLimits struct {
	codes, networks *guesses.Counter
}

func newLookupLimits(now func() time.Time) *lookupLimits {
	return &lookupLimits{codes: guesses.New(codeFailures, time.Hour, now), networks: guesses.New(networkFailures, time.Hour, now)}
}
