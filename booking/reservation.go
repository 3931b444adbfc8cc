package booking

import (
	"time"

	"ansim/schema/personal"
)

// The states of a reservation.
const (
	StatusConfirmed = "confirmed"
	StatusCancelled = "cancelled" // final
)

// Slot is a time at a site.
type Slot struct {
	ID       string
	SiteID   string
	StartsAt time.Time // in the programme's zone
}

// Person is somebody who books for another.
type Person struct {
	Name  personal.Name
	Phone personal.Phone
}

// Reservation is a place for a person.
type Reservation struct {
	ID          string
	Code        string // as stored, without its dash; see FormatCode
	Version     int    // 1 when made, one more with each change
	Status      string // StatusConfirmed or StatusCancelled
	ProgrammeID string
	Slot        Slot
	Name        personal.Name
	BirthDate   string // YYYY-MM-DD
	Phone       personal.Phone
	Language    string  // "ko" or "en"
	Booker      *Person // nil: the resident booked
	Reference   string  // the client's own, "" for none
	CreatedAt   time.Time
	UpdatedAt   time.Time
	TimeZone    string // IANA name, the programme's
	Resends     Resends
}

// Resends are the numbers of the newest resends of a reservation's present version to each person, 0 for none. Get and
// Search read them; elsewhere they are 0.
type Resends struct{ Resident, Booker int }

// Client is the holder of an API key, a resident (see Appointed), or a member of staff.
type Client struct {
	KeyID  string
	Name   string
	Scopes []string

	only  string // the one reservation that a resident may change, "" for a key's holder
	staff string // the name of a member of staff, who may change all
}

// holder is the resident of a reservation as a client of their own.
func holder(keyID, reservationID string) Client {
	return Client{KeyID: keyID, Name: byResident, Scopes: []string{ScopeBook, ScopeResend}, only: reservationID}
}

// Staff is a member of staff as a client, who may change every reservation and ask for its texts. id is the account's, a UUID.
func Staff(id, name string) Client {
	return Client{KeyID: id, Name: name, Scopes: []string{ScopeBook, ScopeRead, ScopeResend}, staff: name}
}

// owns says whether the client may see and change r.
func (c Client) owns(r *row) bool {
	return c.staff != "" || c.KeyID == r.KeyID && (c.only == "" || c.only == r.ID)
}

// asks is how a request by the client for texts is put down; see ResendOrder.
func (c Client) asks() string {
	switch {
	case c.only != "":
		return byResident
	case c.staff != "":
		return "staff:" + c.staff
	}
	return "api-key:" + c.KeyID
}

// Call is who asks, and how a repeat of the same request is recognised.
type Call struct {
	Client      Client
	Key         string   // the Idempotency-Key
	Route       string   // method and route, as "POST /v1/reservations": a key is valid within one
	Fingerprint [32]byte // SHA-256 of the canonical body
	Traceparent string   // W3C trace context, may be empty
}

// BookRequest asks for a place. Its fields have been through the Normalize functions.
type BookRequest struct {
	SlotID    string
	Identity  string // opaque, from the client's identity provider; only its keyed hash is stored
	Name      personal.Name
	BirthDate string // YYYY-MM-DD
	Phone     personal.Phone
	Booker    *Person
	Language  string // "ko" or "en"
	Reference string
}

// Reply is the answer "yes".
type Reply struct {
	Reservation Reservation
	Created     bool    // a new reservation; false also for the repeat that found the one which exists
	Unchanged   bool    // of Reschedule and Correct: the reservation was so already, and nobody is told
	Replayed    bool    // the answer of an earlier request with the same idempotency key
	Resent      *Resent // of Resend
}
