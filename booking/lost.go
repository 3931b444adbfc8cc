package booking

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/text/cases"

	"ansim/schema/event"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

// LostCode is who says that they have lost their code. Its fields have been through the Normalize functions.
type LostCode struct {
	Name       personal.Name
	BirthDates []string // one, or two where the person left the century out
	Phone      personal.Phone
}

const (
	// lostTexts is how many texts a reservation's people get within lostWithin because somebody says that the code is lost: who
	// knows a name, a birth date and a number can annoy, and not more than this.
	lostTexts  = 3
	lostWithin = 24 * time.Hour
	// lostMost is the most reservations for which one call asks. Who has several programmes has several.
	lostMost = 10

	byResident = "resident"
	reasonLost = "the code was lost"
	routeLost  = "lost code"
)

// SendCode asks for the texts, in which the codes are, of the coming appointments of a person, to the number on the reservation:
// the resident's where phone is theirs, and that of who booked for them where it is that one's. It returns how many. Nobody
// who asks may be told: it says whether somebody is booked. What is refused (a text is on its way, was asked for a moment ago,
// or lostTexts were) counts as done.
func (s *Service) SendCode(ctx context.Context, who LostCode) (int, error) {
	found, err := s.findLost(ctx, who)
	if err != nil {
		return 0, err
	}
	sent := 0
	for _, r := range found {
		to := event.Resident
		if r.Phone != who.Phone.Reveal() {
			to = event.Booker
		}
		call := Call{Client: holder(r.KeyID, r.ID), Key: uuid.NewString(), Route: routeLost}
		_, err := s.Resend(ctx, call, ResendOrder{ReservationID: r.ID, Recipients: []event.Recipient{to}, Reason: reasonLost})
		var no *Refusal
		if err != nil && !errors.As(err, &no) {
			return sent, err
		}
		if err == nil {
			sent++
		}
	}
	return sent, nil
}

type lostRow struct {
	ID    string `db:"id"`
	KeyID string `db:"api_key_id"`
	Name  string `db:"name"`
	Phone string `db:"phone"`
}

// findLost is whose codes may be sent again. People write their names with other spaces and letters than their children did.
func (s *Service) findLost(ctx context.Context, who LostCode) (found []lostRow, err error) {
	if len(who.BirthDates) == 0 {
		return nil, nil
	}
	phone, born, bornOr := who.Phone.Reveal(), who.BirthDates[0], who.BirthDates[len(who.BirthDates)-1]
	err = s.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		var rows []lostRow
		if err := tx.Select(ctx, &rows, `WITH theirs AS (
				SELECT id FROM reservation WHERE phone = ? AND birth_date IN (?, ?) AND status = 'confirmed'
				UNION SELECT id FROM reservation WHERE booker_phone = ? AND birth_date IN (?, ?) AND status = 'confirmed')
			SELECT r.id, r.api_key_id, r.name, r.phone FROM theirs JOIN reservation r ON r.id = theirs.id JOIN slot s ON s.id = r.slot_id
			WHERE s.starts_at > ? AND (SELECT COUNT(*) FROM resend x WHERE x.reservation_id = r.id AND x.requested_by = ?
				AND x.reason = ? AND x.created_at > ?) < ?
			ORDER BY s.starts_at, r.id LIMIT ?`, phone, born, bornOr, phone, born, bornOr, sqldb.At(now), byResident, reasonLost,
			sqldb.At(now.Add(-lostWithin)), lostTexts, lostMost); err != nil {
			return fmt.Errorf("find who lost a code: %w", err)
		}
		found = found[:0]
		for _, r := range rows {
			if sameName(r.Name, who.Name.Reveal()) {
				found = append(found, r)
			}
		}
		return nil
	})
	return found, err
}

// sameName says whether two names, both normalised, are one but for spaces and the case of letters.
func sameName(a, b string) bool {
	fold := func(s string) string { return cases.Fold().String(strings.ReplaceAll(s, " ", "")) }
	return fold(a) == fold(b)
}
