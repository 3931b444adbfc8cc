package booking

import (
	"errors"
	"fmt"
	"time"
)

// What a call can end with, by meaning. The API has one table from these to statuses.
var (
	ErrUnauthorized    = errors.New("no valid API key")
	ErrForbidden       = errors.New("the API key does not allow this")
	ErrNotFound        = errors.New("no such thing, or not this client's")
	ErrNoSlot          = fmt.Errorf("%w: no slot of that id in the programme", ErrNotFound)
	ErrNotOpenYet      = errors.New("booking has not opened yet")
	ErrWindowClosed    = errors.New("booking has closed")
	ErrNotEligible     = errors.New("no rule of the programme admits this person")
	ErrSlotFull        = errors.New("the slot has no place left")
	ErrAlreadyBooked   = errors.New("this person has an active reservation in the programme")
	ErrNotChangeable   = errors.New("the reservation can no longer be changed")
	ErrVersionMismatch = errors.New("the reservation has another version")
	// ErrAppointmentPast is ErrNotChangeable with its cause: a text would come too late.
	ErrAppointmentPast = fmt.Errorf("%w: its time has come", ErrNotChangeable)
	ErrCoolDown        = errors.New("the text was asked for a moment ago")
	ErrTextPending     = errors.New("the text is still on its way to the provider")
	ErrOutcomeUnknown  = errors.New("whether the last text was sent is being looked up")
	ErrNoBooker        = errors.New("nobody booked for this resident, so there is no booker to text")
	ErrKeyReused       = errors.New("the idempotency key was used for another request")
	ErrKeyInProgress   = errors.New("a request with this idempotency key is under way")
	ErrKeyRate         = errors.New("the API key has used up its rate")
	ErrTooManyLookups  = errors.New("too many lookups have failed")
	ErrOverloaded      = errors.New("too many requests are waiting")
)

// Errors of setting up.
var (
	// ErrOtherSecret: the database was begun with another ANSIM_SECRET. Under a second one the same person would have
	// another hash and could book twice.
	ErrOtherSecret = errors.New("the database belongs to another ANSIM_SECRET")
	// ErrSecret: the secret is not 32 bytes.
	ErrSecret = errors.New("the secret must be 32 bytes")
	// ErrProgrammeFile: the programme file has errors; the error's text lists each with its line.
	ErrProgrammeFile = errors.New("the programme file has errors")
	// ErrBreaksBookings: applying the file would break bookings; the error's text lists each reason. Nothing was changed.
	ErrBreaksBookings = errors.New("the programme file would break bookings")
	// ErrKeyName: an API key of that name exists, or the name is empty.
	ErrKeyName = errors.New("an API key needs a name of its own")
	// ErrKeySpec: an API key cannot be made as asked; the error's text says why.
	ErrKeySpec = errors.New("the API key cannot be so")
)

// Window is when a rule admits people.
type Window struct {
	Rule     string // "" for the programme's own window
	OpensAt  time.Time
	ClosesAt time.Time
}

// Refusal is the answer "no" of the booking transaction, with what the data say about it. Its times are in the programme's
// zone. A final one is given again to the same idempotency key, with Replayed set. ErrNotOpenYet is not final, nor are the
// refusals with a RetryAfter: the same request may pass later.
type Refusal struct {
	Kind         error // one of the sentinels
	ProgrammeID  string
	Rule         string    // the rule that decided, "" when the programme's own window did
	OpensAt      time.Time // of that window; zero when no window is concerned
	ClosesAt     time.Time
	ServerTime   time.Time     // by which it was decided
	NextWindow   *Window       // the next window that admits this person
	Alternatives []Slot        // for ErrSlotFull: up to 3 at the same site near that time, then up to 3 elsewhere
	Version      int           // for ErrVersionMismatch: the version that the reservation has
	RetryAfter   time.Duration // for ErrCoolDown, ErrTextPending, ErrOutcomeUnknown: asking earlier is in vain
	Replayed     bool
}

// Error is the text of Kind: it holds nothing of the person.
func (r *Refusal) Error() string { return r.Kind.Error() }

// Unwrap is Kind.
func (r *Refusal) Unwrap() error { return r.Kind }
