package app

import (
	"context"
	"errors"
	"fmt"

	"ansim/booking"
	"ansim/notifier"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

// Parked is what cannot go on by itself, with everything that it takes to let it go on.
func Parked(db *sqldb.DB) *notifier.Parked {
	return &notifier.Parked{DB: db, Directory: Appointments, Permanent: Permanent, Explain: ExplainParked, Resend: resender(db)}
}

// ExplainParked says to staff why a text is held or has failed. Of one that may have arrived it says what that means for
// sending it again.
func ExplainParked(reason string) (ko, en string) {
	s := Explain(reason)
	if reason == notifier.ReasonAnswerLost || reason == notifier.ReasonLookupFailed {
		return "문자가 발송되었는지 확인되지 않았습니다. 다시 보내면 두 번 받을 수 있습니다.",
			"It is unknown whether the text was sent. Sent again, it may arrive twice."
	}
	return s.Ko, s.En
}

// resender asks for a text again, by the rule of booking. The look at the texts comes after booking holds the reservation's
// lock: there it is seen whether somebody else has redriven the text meanwhile.
func resender(db *sqldb.DB) func(context.Context, notifier.ResendRequest) error {
	return func(ctx context.Context, r notifier.ResendRequest) error {
		look := func(ctx context.Context, tx *sqldb.Tx, ids []string) (map[string]map[event.Recipient]booking.NewestText, error) {
			if err := r.Check(ctx, tx); err != nil {
				return nil, err
			}
			return LookAtTexts(ctx, tx, ids)
		}
		_, err := booking.Resend(ctx, db, look, booking.ResendOrder{ReservationID: r.ReservationID,
			Recipients: []event.Recipient{r.Recipient}, Reason: r.Reason, By: r.By, EvenIfUnknown: r.EvenIfUnknown, NoCoolDown: true})
		var refused *booking.Refusal
		if errors.As(err, &refused) {
			return fmt.Errorf("%w: %w", notifier.ErrResendRefused, err)
		}
		return err
	}
}
