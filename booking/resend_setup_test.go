package booking_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"ansim/booking"
	"ansim/schema/event"
	"ansim/schema/sqldb"
)

const resendRoute = "POST /v1/reservations/{id}/resend"

// lookAtMessages is a booking.TextLook at the notifier's table, whose rows notify makes.
func lookAtMessages(ctx context.Context, tx *sqldb.Tx, ids []string) (map[string]map[event.Recipient]booking.NewestText, error) {
	found := map[string]map[event.Recipient]booking.NewestText{}
	for _, id := range ids {
		var rows []struct {
			Recipient       event.Recipient
			Version, Resend int
			State           string
		}
		if err := tx.Select(ctx, &rows, "SELECT recipient, version, resend, state FROM message WHERE reservation_id = ? ORDER BY version, resend", id); err != nil {
			return nil, err
		}
		found[id] = map[event.Recipient]booking.NewestText{}
		for _, r := range rows {
			found[id][r.Recipient] = booking.NewestText{Version: r.Version, Resend: r.Resend, State: r.State}
		}
	}
	return found, nil
}

// notify makes the messages of the reservation's events that have none, as the intake does, and gives the newest to each
// person a state. The table's unique key refuses a text that comes twice.
func (w *world) notify(id, state string) {
	w.t.Helper()
	err := w.db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error {
		var events []struct {
			EventID    string     `db:"event_id"`
			Type       event.Type `db:"type"`
			Recipients string     `db:"recipients"`
			Version    int        `db:"version"`
			Resend     int        `db:"resend"`
		}
		if err := tx.Select(ctx, &events, `SELECT event_id, type, recipients, version, resend FROM outbox o WHERE reservation_id = ?
			AND NOT EXISTS (SELECT 1 FROM message m WHERE m.event_id = o.event_id) ORDER BY id`, id); err != nil {
			return err
		}
		kind := map[event.Type]string{event.Booked: "confirmation", event.Changed: "change", event.Cancelled: "cancellation"}
		at := sqldb.At(noon)
		for _, e := range events {
			for to := range strings.SplitSeq(e.Recipients, ",") {
				if _, err := tx.Exec(ctx, `INSERT INTO message (id, event_id, reservation_id, version, kind, recipient, resend, state,
					event_at, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'delivered', ?, ?, ?)`,
					uuid.NewString(), e.EventID, id, e.Version, kind[e.Type], to, e.Resend, at, at, at); err != nil {
					return err
				}
			}
		}
		_, err := tx.Exec(ctx, `UPDATE message SET state = ? WHERE reservation_id = ? AND NOT EXISTS (SELECT 1 FROM message n
			WHERE n.reservation_id = message.reservation_id AND n.recipient = message.recipient
			AND (n.version > message.version OR n.version = message.version AND n.resend > message.resend))`, state, id)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// order is an order for everybody.
func order(id string) booking.ResendOrder {
	return booking.ResendOrder{ReservationID: id, Reason: "no text came"}
}

// resendCall is a call of that route with a key that was not used before.
func (w *world) resendCall() booking.Call {
	c := w.call()
	c.Route = resendRoute
	return c
}

func (w *world) resend(o booking.ResendOrder) (booking.Reply, error) {
	return w.svc.Resend(context.Background(), w.resendCall(), o)
}

// alone is the same order through the function for the command line.
func (w *world) alone(o booking.ResendOrder) (booking.Resent, error) {
	o.By = "cli:kim"
	return booking.Resend(context.Background(), w.db, lookAtMessages, o)
}

// both runs fn with either way to ask for texts again.
func (w *world) both(fn func(name string, resend func(booking.ResendOrder) (booking.Resent, error))) {
	fn("service", func(o booking.ResendOrder) (booking.Resent, error) {
		r, err := w.resend(o)
		if err != nil {
			return booking.Resent{}, err
		}
		return *r.Resent, nil
	})
	fn("alone", w.alone)
}

// bookTwo books for a resident and a booker.
func (w *world) bookTwo(identity, slot string) booking.Reservation {
	w.t.Helper()
	req := person(identity, slot)
	req.Booker = &booking.Person{Name: "홍판서", Phone: "+821099998888"}
	r, err := w.svc.Book(context.Background(), w.call(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Reservation
}

// events are the outbox rows of a reservation, oldest first.
func (w *world) events(id string) []string {
	w.t.Helper()
	var rows []struct {
		Type, Recipients string
		Version, Resend  int
	}
	if err := w.db.Pool().Select(&rows, w.db.Pool().Rebind("SELECT type, recipients, version, resend FROM outbox WHERE reservation_id = ? ORDER BY id"), id); err != nil {
		w.t.Fatal(err)
	}
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = fmt.Sprintf("%s v%d resend %d to %s", strings.TrimSuffix(strings.TrimPrefix(r.Type, "ansim.reservation."), ".v1"), r.Version, r.Resend, r.Recipients)
	}
	return out
}
