// Package event is the Kafka contract: what a record on the reservation topic looks like.
//
// Records are CloudEvents 1.0 in binary mode: the attributes are ce_* headers, the body is small JSON. They carry ids and
// kinds, never a name, a number or a code, so that the topic may be kept and read by others. Readers ignore fields and
// headers that they do not know; a type of another major version than theirs is ErrVersion, and they set the record aside.
// The golden files in testdata hold the exact form.
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Topic is where reservation events go, keyed by reservation id.
const Topic = "ansim.reservation.events"

// Source is the ce_source of every event.
const Source = "/ansim/booking"

// Type is what happened, with the major version of the form of its body.
type Type string

// The events. Each leads to one text for each of its recipients.
const (
	Booked    Type = "ansim.reservation.booked.v1"
	Changed   Type = "ansim.reservation.changed.v1"
	Cancelled Type = "ansim.reservation.cancelled.v1"
)

var types = []Type{Booked, Changed, Cancelled}

// Recipient is who a text is for.
type Recipient string

// The people of a reservation. Booker is the one who booked for somebody else.
const (
	Resident Recipient = "resident"
	Booker   Recipient = "booker"
)

// Event is one change of a reservation.
type Event struct {
	ID            string // UUIDv7, made by the app: unlike a row's id it never comes again after a restore
	Type          Type
	ReservationID string
	Version       int // of the reservation, after the change
	Recipients    []Recipient
	Resend        int // 0, or the number of a person's request to send again
	Time          time.Time
	Traceparent   string // W3C trace context of the request, may be empty
}

// Header is one record header.
type Header struct {
	Key   string
	Value []byte
}

// Errors of Decode.
var (
	// ErrMalformed: the record is not one of ours, or is damaged.
	ErrMalformed = errors.New("malformed event")
	// ErrVersion: the event's type is of a major version that this program does not know.
	ErrVersion = errors.New("event of an unknown version")
)

type body struct {
	ReservationID string      `json:"reservation_id"`
	Version       int         `json:"version"`
	Recipients    []Recipient `json:"recipients"`
	Resend        int         `json:"resend,omitempty"`
}

// Encode writes e as headers and body.
func Encode(e Event) ([]Header, []byte, error) {
	b, err := json.Marshal(body{e.ReservationID, e.Version, e.Recipients, e.Resend})
	if err != nil {
		return nil, nil, fmt.Errorf("encode event: %w", err)
	}
	h := []Header{
		{"ce_specversion", []byte("1.0")},
		{"ce_id", []byte(e.ID)},
		{"ce_source", []byte(Source)},
		{"ce_type", []byte(e.Type)},
		{"ce_subject", []byte(e.ReservationID)},
		{"ce_time", []byte(e.Time.UTC().Format(time.RFC3339Nano))},
		{"content-type", []byte("application/json")},
	}
	if e.Traceparent != "" {
		h = append(h, Header{"traceparent", []byte(e.Traceparent)})
	}
	return h, b, nil
}

// Decode reads what Encode wrote. Its errors wrap ErrMalformed or ErrVersion and quote nothing of the record but its type.
func Decode(headers []Header, data []byte) (Event, error) {
	get := func(key string) string {
		for _, h := range headers {
			if strings.EqualFold(h.Key, key) {
				return string(h.Value)
			}
		}
		return ""
	}
	if v := get("ce_specversion"); v != "1.0" {
		return Event{}, fmt.Errorf("%w: ce_specversion is not 1.0", ErrMalformed)
	}
	e := Event{ID: get("ce_id"), Type: Type(get("ce_type")), Traceparent: get("traceparent")}
	if !slices.Contains(types, e.Type) {
		for _, t := range types {
			if stem(t) == stem(e.Type) && stem(t) != "" {
				return Event{}, fmt.Errorf("%w: %s", ErrVersion, e.Type)
			}
		}
		return Event{}, fmt.Errorf("%w: unknown ce_type", ErrMalformed)
	}
	if uuid.Validate(e.ID) != nil {
		return Event{}, fmt.Errorf("%w: ce_id is not a UUID", ErrMalformed)
	}
	t, err := time.Parse(time.RFC3339Nano, get("ce_time"))
	if err != nil {
		return Event{}, fmt.Errorf("%w: ce_time is not a time", ErrMalformed)
	}
	e.Time = t.UTC()
	var b body
	if err := json.Unmarshal(data, &b); err != nil {
		return Event{}, fmt.Errorf("%w: the body is not JSON of the expected form", ErrMalformed)
	}
	switch {
	case uuid.Validate(b.ReservationID) != nil:
		return Event{}, fmt.Errorf("%w: reservation_id is not a UUID", ErrMalformed)
	case b.Version < 1:
		return Event{}, fmt.Errorf("%w: version is below 1", ErrMalformed)
	case b.Resend < 0:
		return Event{}, fmt.Errorf("%w: resend is below 0", ErrMalformed)
	case len(b.Recipients) == 0 || len(b.Recipients) > 2:
		return Event{}, fmt.Errorf("%w: recipients must be one or two", ErrMalformed)
	}
	for _, r := range b.Recipients {
		if r != Resident && r != Booker {
			return Event{}, fmt.Errorf("%w: unknown recipient", ErrMalformed)
		}
	}
	e.ReservationID, e.Version, e.Recipients, e.Resend = b.ReservationID, b.Version, b.Recipients, b.Resend
	return e, nil
}

// stem is a type without its version, "" when it has none.
func stem(t Type) string {
	i := strings.LastIndex(string(t), ".v")
	if i < 0 {
		return ""
	}
	return string(t[:i])
}
