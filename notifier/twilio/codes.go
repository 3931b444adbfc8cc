package twilio

import (
	"fmt"
	"net/http"

	"ansim/notifier"
)

// Code is one of Twilio's error codes, as far as we know what follows from it.
type Code struct {
	Number int
	// Disposition is what follows when the API refuses a text with it.
	Disposition notifier.Disposition
	// Ending is what follows when a text that had been taken ends with it, as a receipt or a list says. With a messaging
	// service most codes come so. It differs where a refusal is about our one sender, and an end about one of several.
	Ending notifier.Disposition
	// Checked says how far the row was compared with Twilio's own words.
	Checked Evidence
	Ko, En  string // for people: what is the matter, and what the person or the staff can do
}

// Evidence says what was read of a code.
type Evidence string

// The kinds of evidence, the best first. All of it was read in stored copies of public pages, in November 2026.
const (
	ReadPage Evidence = "page"  // the code's own page of the dictionary
	ReadCopy Evidence = "copy"  // its whole entry, in a public copy of the dictionary's data from 2025
	Listed   Evidence = "title" // only its number and title, there
)

// Source is the page of Twilio's that describes the code.
func (c Code) Source() string {
	return fmt.Sprintf("https://www.twilio.com/docs/api/errors/%d", c.Number)
}

// Explain looks a code up, for people who ask why; false when we know nothing of it.
func Explain(code int) (Code, bool) {
	c, ok := codes[code]
	return c, ok
}

// disposition is what follows from a refusal with this status and code. For a code that the table does not have, the status
// decides: 401 and 404 are about the account, so the next text would fare no better; 409 and 423 pass; anything else is
// taken to be about this text, so that it ends where a person sees it at once, and cannot stop the others or be repeated
// until its appointment.
func disposition(status, code int) notifier.Disposition {
	if c, ok := codes[code]; ok {
		return c.Disposition
	}
	switch status {
	case http.StatusUnauthorized, http.StatusNotFound:
		return notifier.Configuration
	case http.StatusConflict, http.StatusLocked:
		return notifier.Later
	default:
		return notifier.Permanent
	}
}

// ending is what the error code of a text that had been taken, and then was not delivered, means for a further attempt; ""
// without a code. A code that the table does not have is taken to pass: the text would else end unseen, and further attempts
// are few.
func ending(code int) notifier.Disposition {
	switch c, ok := codes[code]; {
	case code == 0:
		return ""
	case ok:
		return c.Ending
	}
	return notifier.Later
}

// codes is the table by number.
var codes = func() map[int]Code {
	m := make(map[int]Code, len(table))
	for _, c := range table {
		m[c.Number] = c
	}
	return m
}()
