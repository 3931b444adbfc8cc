package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ansim/booking"
	"ansim/cmd/app"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

type resendCmd struct {
	databaseFlags
	Code          string `xor:"reservation" required:"" placeholder:"CODE" help:"The reservation's code, as the person reads it."`
	Reservation   string `xor:"reservation" required:"" placeholder:"ID" help:"The reservation's id."`
	Reason        string `required:"" placeholder:"TEXT" help:"Why, in your own words; it is kept with the reservation. No names and no numbers of people."`
	Recipient     string `enum:"resident,booker,both" default:"both" help:"Whose text: resident, booker, or both, which is everybody whom the reservation knows."`
	EvenIfUnknown bool   `help:"Also while it is not known whether the last text was sent, or while its sender does not know of it: the person may get it twice."`
	By            string `placeholder:"NAME" help:"Who asks; by default your user name on this machine."`
	JSON          bool   `name:"json" help:"The last line of stdout is what was done, as one JSON object."`
}

func (c *resendCmd) Help() string {
	return "Sends the texts of the reservation's present version once more, to the numbers that it has now. " +
		fmt.Sprintf("Refused within %.0f seconds of the last change or resend, ", booking.ResendCoolDown.Seconds()) +
		"while the last text is still on its way, while it is not known whether that one was sent (see --even-if-unknown), and from the appointment on. " +
		"Exit 0: the request is committed, and a running service sends the texts. Exit 1: nothing was sent, and why."
}

// resentReport is the last line with --json.
type resentReport struct {
	ReservationID string            `json:"reservation_id"`
	Version       int               `json:"version"`
	Number        int               `json:"number"`
	EventID       string            `json:"event_id"`
	Recipients    []event.Recipient `json:"recipients"`
}

func (c *resendCmd) Run(e *env) error {
	order, err := c.order()
	if err != nil {
		return err
	}
	db, err := c.open(e.ctx, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	if c.Code != "" {
		if order.ReservationID, err = booking.FindByCode(e.ctx, db, c.Code); err != nil {
			return c.explain(err)
		}
	}
	done, err := booking.Resend(e.ctx, db, app.LookAtTexts, order)
	if err != nil {
		return c.explain(err)
	}
	to := make([]string, len(done.Recipients))
	for i, r := range done.Recipients {
		to[i] = string(r)
	}
	fmt.Fprintf(e.stdout, "asked for the text of reservation %s again: version %d, resend %d, to %s\n",
		order.ReservationID, done.Version, done.Number, strings.Join(to, " and "))
	if c.JSON {
		b, err := json.Marshal(resentReport{order.ReservationID, done.Version, done.Number, done.EventID, done.Recipients})
		if err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s\n", b)
	}
	return nil
}

// order is what the flags ask for; what can be judged without the database is wrong use.
func (c *resendCmd) order() (booking.ResendOrder, error) {
	o := booking.ResendOrder{ReservationID: c.Reservation, EvenIfUnknown: c.EvenIfUnknown}
	wrong := func(flag string, err error) error { return fmt.Errorf("%w: %s %w", app.ErrUsage, flag, err) }
	var err error
	if o.Reason, err = booking.NormalizeReason(c.Reason); err != nil {
		return o, wrong("--reason", err)
	}
	if o.Recipients, err = booking.ParseRecipient(c.Recipient); err != nil {
		return o, wrong("--recipient", err)
	}
	if c.Code != "" {
		if _, err := booking.ParseCode(c.Code); err != nil {
			return o, wrong("--code", err)
		}
	}
	by, err := whoAsks(c.By)
	o.By = "cli:" + by
	return o, err
}

// explain adds to a refusal what to do next. It repeats neither the code nor anything of the people.
func (c *resendCmd) explain(err error) error {
	which := "id"
	if c.Code != "" {
		which = "code"
	}
	advice := ""
	var bad *booking.ValidationProblem
	var refusal *booking.Refusal
	errors.As(err, &refusal)
	switch {
	case errors.As(err, &bad) && bad.Slug == booking.SlugRequestedBy:
		return fmt.Errorf("%w: --by %w", app.ErrUsage, err)
	case errors.As(err, &bad):
		return fmt.Errorf("%w: %w", app.ErrUsage, err)
	case errors.Is(err, booking.ErrNotFound):
		return fmt.Errorf("there is no reservation with this %s in this database; check the %s, and --database-url", which, which)
	case errors.Is(err, booking.ErrAppointmentPast):
		advice = "a text would come too late, so none is sent"
	case errors.Is(err, booking.ErrNoBooker):
		advice = "use --recipient resident"
	case errors.Is(err, booking.ErrCoolDown):
		advice = fmt.Sprintf("look at the reservation first, and ask again in %s", upToSecond(refusal.RetryAfter))
	case errors.Is(err, booking.ErrTextPending):
		advice = "it goes out by itself, and another would only stand behind it; if nothing moves, see whether the service runs and the provider answers (/readyz)"
	case errors.Is(err, booking.ErrOutcomeUnknown):
		advice = "ask again in a few minutes, or add --even-if-unknown to send now at the risk of a second copy"
	case errors.Is(err, sqldb.ErrCommitUnknown):
		advice = "look at the reservation before you ask again"
	default:
		return err
	}
	return fmt.Errorf("%w; %s", err, advice)
}

// upToSecond is d in whole seconds, none too few.
func upToSecond(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
