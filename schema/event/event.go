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
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Topic is where reservation events go, keyed by reservation id.
const Topic = "ansim.reservation.events"

// Kept is how long the topic holds an event.
const Kept = 7 * 24 * time.Hour

// MinKeep is the shortest time for which the outbox and the texts may be kept. It is longer than Kept, so that an event that Kafka
// brings again, were it from the beginning of the topic, is still known.
const MinKeep = Kept + 24*time.Hour

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

// The people of a reservation. Booker is the one who booked for somebody else. Former is whoever has the number that a correction
// replaced: they are told that no more texts come, and nothing of the reservation but its code, which they had.
const (
	Resident Recipient = "resident"
	Booker   Recipient = "booker"
	Former   Recipient = "former"
)

var recipients = []Recipient{Resident, Booker, Former}

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

// Decode reads what Encode wrote. Its errors wrap ErrMalformed or ErrVersion and quote nothing of the record but its type, and
// that only when it is one of ours but for the version's number. What Decode accepts, both databases can store: ids are UUIDs
// in the one form that equals itself as text, numbers and years have their range. A traceparent that is none is left out, as
// W3C has it.
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
	if get("ce_source") != Source {
		return Event{}, fmt.Errorf("%w: ce_source is not %s", ErrMalformed, Source)
	}
	e := Event{ID: get("ce_id"), Type: Type(get("ce_type")), Traceparent: get("traceparent")}
	if !traceparent.MatchString(e.Traceparent) {
		e.Traceparent = ""
	}
	if !slices.Contains(types, e.Type) {
		for _, t := range types {
			if stem(t) == stem(e.Type) && stem(t) != "" {
				return Event{}, fmt.Errorf("%w: %s", ErrVersion, e.Type)
			}
		}
		return Event{}, fmt.Errorf("%w: unknown ce_type", ErrMalformed)
	}
	if !isUUID(e.ID) {
		return Event{}, fmt.Errorf("%w: ce_id is not a UUID", ErrMalformed)
	}
	t, err := time.Parse(time.RFC3339Nano, get("ce_time"))
	if err != nil {
		return Event{}, fmt.Errorf("%w: ce_time is not a time", ErrMalformed)
	}
	if e.Time = t.UTC(); e.Time.Year() < 1 || e.Time.Year() > 9999 {
		return Event{}, fmt.Errorf("%w: ce_time is out of range", ErrMalformed)
	}
	var b body
	if err := json.Unmarshal(data, &b); err != nil {
		return Event{}, fmt.Errorf("%w: the body is not JSON of the expected form", ErrMalformed)
	}
	switch {
	case !isUUID(b.ReservationID):
		return Event{}, fmt.Errorf("%w: reservation_id is not a UUID", ErrMalformed)
	case get("ce_subject") != b.ReservationID:
		return Event{}, fmt.Errorf("%w: ce_subject is not reservation_id", ErrMalformed)
	case b.Version < 1 || b.Version > math.MaxInt32:
		return Event{}, fmt.Errorf("%w: version is out of range", ErrMalformed)
	case b.Resend < 0 || b.Resend > math.MaxInt32:
		return Event{}, fmt.Errorf("%w: resend is out of range", ErrMalformed)
	case len(b.Recipients) == 0 || len(b.Recipients) > len(recipients):
		return Event{}, fmt.Errorf("%w: recipients must be one to three", ErrMalformed)
	}
	for i, r := range b.Recipients {
		if !slices.Contains(recipients, r) {
			return Event{}, fmt.Errorf("%w: unknown recipient", ErrMalformed)
		}
		if slices.Contains(b.Recipients[:i], r) {
			return Event{}, fmt.Errorf("%w: a recipient stands twice", ErrMalformed)
		}
	}
	e.ReservationID, e.Version, e.Recipients, e.Resend = b.ReservationID, b.Version, b.Recipients, b.Resend
	return e, nil
}

// isUUID says whether s is a UUID as we write them: lower case, with dashes. uuid.Validate takes other forms too, which SQLite,
// unlike PostgreSQL, would store as other ids.
func isUUID(s string) bool {
	u, err := uuid.Parse(s)
	return err == nil && u.String() == s
}

// stem is a type without its version, "" when it has none.
func stem(t Type) string {
	m := versioned.FindStringSubmatch(string(t))
	if m == nil {
		return ""
	}
	return m[1]
}

var (
	versioned   = regexp.MustCompile(`^(.+)\.v[0-9]{1,4}$`)
	traceparent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
)
