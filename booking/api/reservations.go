package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ansim/booking"
)

// book is POST /v1/reservations.
func (c *call) book() error {
	body, err := c.json()
	if err != nil {
		return err
	}
	req, n, err := readBook(body, c.now())
	if err != nil {
		return err
	}
	reply, err := c.service.Book(c.r.Context(), c.call(n), req)
	if err != nil {
		return err
	}
	if !reply.Created {
		// It was there before this request, so what became of its text is news; see confirmationAfter for the other case.
		return c.write(http.StatusOK, reply, nil)
	}
	confirmation := confirmationAfter(reply.Reservation)
	return c.write(http.StatusCreated, reply, &confirmation)
}

// cancel is POST /v1/reservations/{id}/cancel.
func (c *call) cancel() error {
	return c.change(c.body, func(body []byte, _ time.Time) (*node, error) { return readEmpty(body) },
		func(call booking.Call, id string, version int) (booking.Reply, error) {
			return c.service.Cancel(c.r.Context(), call, id, version)
		})
}

// reschedule is POST /v1/reservations/{id}/reschedule.
func (c *call) reschedule() error {
	var slotID string
	return c.change(c.json, func(body []byte, now time.Time) (n *node, err error) {
		slotID, n, err = readReschedule(body, now)
		return n, err
	}, func(call booking.Call, id string, version int) (booking.Reply, error) {
		return c.service.Reschedule(c.r.Context(), call, id, slotID, version)
	})
}

// contact is POST /v1/reservations/{id}/contact.
func (c *call) contact() error {
	var correction booking.Correction
	return c.change(c.json, func(body []byte, now time.Time) (n *node, err error) {
		correction, n, err = readContact(body, now)
		return n, err
	}, func(call booking.Call, id string, version int) (booking.Reply, error) {
		return c.service.Correct(c.r.Context(), call, id, correction, version)
	})
}

// change is what the calls that change a reservation have in common: If-Match, a body, and the reservation as the answer.
func (c *call) change(body func() ([]byte, error), read func([]byte, time.Time) (*node, error),
	do func(call booking.Call, id string, version int) (booking.Reply, error)) error {
	version, err := matchVersion(c.r.Header.Values("If-Match"))
	if err != nil {
		return err
	}
	raw, err := body()
	if err != nil {
		return err
	}
	n, err := read(raw, c.now())
	if err != nil {
		return err
	}
	reply, err := do(c.call(n), c.r.PathValue("id"), version)
	if err != nil {
		return err
	}
	if reply.Unchanged { // no text was caused, so what became of the last is news
		return c.write(http.StatusOK, reply, nil)
	}
	confirmation := confirmationAfter(reply.Reservation)
	return c.write(http.StatusOK, reply, &confirmation)
}

// resend is POST /v1/reservations/{id}/resend.
func (c *call) resend() error {
	body, err := c.json()
	if err != nil {
		return err
	}
	order, n, err := readResend(body, c.now())
	if err != nil {
		return err
	}
	order.ReservationID = c.r.PathValue("id")
	reply, err := c.service.Resend(c.r.Context(), c.call(n), order)
	if errors.Is(err, booking.ErrNoBooker) {
		return &invalid{[]fieldError{{"recipient", codeNoBooker, ""}}}
	}
	if err != nil {
		return err
	}
	confirmation := confirmationOfResend(reply.Reservation, *reply.Resent)
	return c.write(http.StatusAccepted, reply, &confirmation)
}

// get is GET /v1/reservations/{id}.
func (c *call) get() error {
	found, err := c.service.Get(c.r.Context(), c.client, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, booking.Reply{Reservation: found}, nil)
}

// search is POST /v1/reservations/search.
func (c *call) search() error {
	body, err := c.json()
	if err != nil {
		return err
	}
	code, reference, err := readSearch(body, c.now())
	if err != nil {
		return err
	}
	found, err := c.service.Search(c.r.Context(), c.client, code, reference)
	if err != nil {
		return err
	}
	ids := make([]string, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	texts, err := c.textsOf(c.r.Context(), ids)
	if err != nil {
		return err
	}
	list := reservationList{Reservations: make([]reservationJSON, len(found))}
	for i := range found {
		list.Reservations[i] = c.render(found[i], confirmationOf(found[i], texts[found[i].ID], c.now()))
	}
	c.w.Header().Set("Vary", "Accept-Language")
	return writeJSON(c.w, http.StatusOK, list)
}

// write answers with a reservation. With a nil confirmation, its texts are looked up.
func (c *call) write(status int, reply booking.Reply, confirmation *confirmationJSON) error {
	v := reply.Reservation
	if confirmation == nil {
		texts, err := c.textsOf(c.r.Context(), []string{v.ID})
		if err != nil {
			return err
		}
		now := confirmationOf(v, texts[v.ID], c.now())
		confirmation = &now
	}
	h := c.w.Header()
	h.Set("Etag", `"`+strconv.Itoa(v.Version)+`"`)
	if status == http.StatusCreated {
		h.Set("Location", "/v1/reservations/"+v.ID)
	}
	if reply.Replayed {
		h.Set(headerReplayed, "true")
	}
	h.Set("Vary", "Accept-Language")
	return writeJSON(c.w, status, c.render(v, *confirmation))
}

// render is a reservation as this client sees it, with its reasons explained in the client's language.
func (c *call) render(v booking.Reservation, confirmation confirmationJSON) reservationJSON {
	return reservationOf(v, explained(confirmation, c.explain, languageOf(c.r.Header.Get("Accept-Language"))))
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone; what was done stays done
	return nil
}

// textsOf reads the texts of reservations. That they cannot be read must not hide a booking (P7), so it is logged and the
// reservation is shown with its text pending.
func (c *call) textsOf(ctx context.Context, ids []string) (map[string][]Text, error) {
	if c.texts == nil || len(ids) == 0 {
		return nil, nil
	}
	texts, err := c.texts.Texts(ctx, ids)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		c.log.ErrorContext(ctx, "texts of reservations could not be read", "error", err)
	}
	return texts, nil
}

// call is what package booking is told of this request. body is a body that was read without error.
func (c *call) call(body *node) booking.Call {
	return booking.Call{
		Client: c.client, Key: c.key, Route: c.route.method + " " + c.route.path,
		Fingerprint: sha256.Sum256(body.canonical(make([]byte, 0, 512))),
		Traceparent: traceparent(c.r.Header.Get(headerTrace)),
	}
}

// traceparent is h when it is a W3C trace context of the version that we know, else "".
func traceparent(h string) string {
	parts := strings.Split(h, "-")
	if len(h) != 55 || len(parts) != 4 || parts[0] != "00" {
		return ""
	}
	for i, n := range [...]int{2, 32, 16, 2} {
		if len(parts[i]) != n || strings.Trim(parts[i], "0123456789abcdef") != "" {
			return ""
		}
	}
	if strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return ""
	}
	return h
}

// ifMatchPattern is what matchVersion takes, for the description.
const ifMatchPattern = `^(\*|"[1-9][0-9]{0,8}")?$`

// matchVersion reads If-Match: the version that it names, 0 when it is absent or "*".
func matchVersion(values []string) (int, error) {
	if len(values) == 0 || len(values) == 1 && (values[0] == "" || values[0] == "*") {
		return 0, nil
	}
	v := values[0]
	if len(values) == 1 && len(v) > 2 && len(v) <= 11 && v[0] == '"' && v[1] != '0' && v[len(v)-1] == '"' {
		if n, err := strconv.ParseUint(v[1:len(v)-1], 10, 31); err == nil && n > 0 {
			return int(n), nil
		}
	}
	return 0, &invalid{[]fieldError{{"If-Match", codeIfMatch, ""}}}
}
