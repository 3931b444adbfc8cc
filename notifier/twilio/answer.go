package twilio

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"ansim/notifier"
)

var (
	errTwice   = errors.New("a field that comes twice")
	errTooMany = errors.New("a longer page than was asked for")
	errNoList  = errors.New("no list")
	errNoEntry = errors.New("an entry without its SID, date or number")
)

// once is a field of Twilio's JSON that must not come twice: of two values neither is proved. An absent field and null are
// the zero value.
type once[T any] struct {
	there bool
	value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *once[T]) UnmarshalJSON(b []byte) error {
	if o.there {
		return errTwice
	}
	o.there = true
	if string(b) == "null" {
		return nil
	}
	return json.Unmarshal(b, &o.value)
}

// errorCode is the number of an error answer; 0 for whatever is no number of the size that Twilio's have.
type errorCode int

// UnmarshalJSON implements json.Unmarshaler.
func (c *errorCode) UnmarshalJSON(b []byte) error {
	if n, err := strconv.Atoi(string(b)); err == nil && n >= 10_000 && n <= 999_999 {
		*c = errorCode(n)
	}
	return nil
}

// answer is what we read of Twilio's answer to Send: of the text that it took, or of the error.
type answer struct {
	SID     once[string]    `json:"sid"`
	To      once[string]    `json:"to"`
	Account once[string]    `json:"account_sid"`
	Code    once[errorCode] `json:"code"`
}

// parseAnswer reads a whole answer; false when it is not JSON of the expected form.
func parseAnswer(body []byte) (a answer, ok bool) {
	if json.Unmarshal(body, &a) != nil {
		return answer{}, false
	}
	return a, true
}

// of says whether nothing in the answer speaks against its being about a text from this account to this number. The body is
// not compared: Twilio changes it (the words before a trial account's, smart encoding, redaction).
func (a answer) of(account, to string) bool {
	return (a.Account.value == "" || a.Account.value == account) && sameNumber(to, a.To.value)
}

// message is what we read of a text that Twilio shows.
type message struct {
	SID     once[string] `json:"sid"`
	To      once[string] `json:"to"`
	Body    once[string] `json:"body"`
	Status  once[string] `json:"status"`
	Created once[string] `json:"date_created"`
	Code    once[int]    `json:"error_code"`
}

// sighting checks what the rest relies on. to is the number asked for, "" when none was.
func (m message) sighting(to string) (notifier.Sighting, error) {
	created, err := time.Parse(time.RFC1123Z, m.Created.value)
	if err != nil || !isTextSID(m.SID.value) || m.Code.value < 0 || m.Code.value > 999_999 || !sameNumber(to, m.To.value) {
		return notifier.Sighting{}, errNoEntry
	}
	return notifier.Sighting{SID: m.SID.value, Body: m.Body.value, Status: m.Status.value, Created: created.UTC(),
		ErrorCode: m.Code.value, Disposition: ending(m.Code.value)}, nil
}

// entries are the texts of one page, at most pageSize: a page of a million small ones must not fill the memory.
type entries []message

// UnmarshalJSON implements json.Unmarshaler.
func (e *entries) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errNoList
	}
	*e = entries{}
	for d.More() {
		if len(*e) == pageSize {
			return errTooMany
		}
		var m message
		if err := d.Decode(&m); err != nil {
			return err
		}
		*e = append(*e, m)
	}
	return nil
}

// page is what we read of a list.
type page struct {
	Messages once[entries] `json:"messages"`
	Next     once[string]  `json:"next_page_uri"`
}

// parsePage reads a page of the texts to a number. An object without a list is no empty list.
func parsePage(body []byte, to string) (texts []notifier.Sighting, next string, err error) {
	var p page
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, "", err
	}
	if p.Messages.value == nil {
		return nil, "", errNoList
	}
	for _, m := range p.Messages.value {
		s, err := m.sighting(to)
		if err != nil {
			return nil, "", err
		}
		texts = append(texts, s)
	}
	return texts, p.Next.value, nil
}

// parseText reads one text.
func parseText(body []byte) (notifier.Sighting, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return notifier.Sighting{}, err
	}
	return m.sighting("")
}

// isTextSID says whether s has the form of a text's or picture message's SID: SM or MM and 32 hexadecimal digits.
func isTextSID(s string) bool {
	if len(s) != 34 || (s[:2] != "SM" && s[:2] != "MM") {
		return false
	}
	return strings.Trim(s[2:], "0123456789abcdef") == ""
}

// sameNumber says whether the number that an answer shows can be the one that was asked for. Twilio may show it redacted, or
// normalised, which changes its beginning (the mobile digit of Mexico and Argentina); only a whole number that ends
// differently is another.
func sameNumber(asked, shown string) bool {
	const end = 6
	if len(asked) < end || len(shown) < end || shown[0] != '+' || strings.Trim(shown[1:], "0123456789") != "" {
		return true
	}
	return asked[len(asked)-end:] == shown[len(shown)-end:]
}
