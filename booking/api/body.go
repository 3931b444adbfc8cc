package api

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"ansim/booking"
	"ansim/schema/personal"
)

// maxFieldErrors bounds an answer; a body of 64 KiB could have ten thousand unknown fields.
const maxFieldErrors = 100

// fieldError is one thing that is wrong with a request. It holds nothing of what was sent but names of fields.
type fieldError struct {
	field string
	code  string
	arg   string // what the text of code leaves open: a limit, a position, the fields allowed
}

// invalid is a request with bad fields: 422.
type invalid struct{ fields []fieldError }

func (e *invalid) Error() string { return "the request has invalid fields" }

// checker collects what is wrong with a body.
type checker struct {
	fields []fieldError
	now    time.Time
}

func (c *checker) bad(field, code, arg string) {
	if len(c.fields) == maxFieldErrors {
		c.fields = append(c.fields, fieldError{"body", codeMoreErrors, ""})
	}
	if len(c.fields) < maxFieldErrors {
		c.fields = append(c.fields, fieldError{field, code, arg})
	}
}

func (c *checker) err() error {
	if len(c.fields) == 0 {
		return nil
	}
	return &invalid{c.fields}
}

// parse reads a body that must be one JSON object; nil after a syntax error.
func (c *checker) parse(body []byte) *node {
	n, duplicates, err := parseJSON(body)
	if err != nil {
		field := err.path
		if field == "" {
			field = "body"
		}
		c.bad(field, err.code, position(body, err.at)+"\x00"+err.want)
		return nil
	}
	for _, path := range duplicates {
		c.bad(path, codeDuplicate, "")
	}
	return &n
}

// position is where byte at of body is, as byte, line and column, each from 1.
func position(body []byte, at int) string {
	line, column := 1, 1
	for _, b := range body[:at] {
		column++
		if b == '\n' {
			line, column = line+1, 1
		}
	}
	return strconv.Itoa(at+1) + "," + strconv.Itoa(line) + "," + strconv.Itoa(column)
}

// object checks that n is an object with no fields but those named. path is "" for the body itself.
func (c *checker) object(n *node, path string, names ...string) bool {
	if n.kind != kindObject {
		field := path
		if field == "" {
			field = "body"
		}
		code := codeNotObject
		if n.kind == kindNull {
			code = codeNull
		}
		c.bad(field, code, strings.Join(names, ", "))
		return false
	}
	for i := range n.members {
		if name := n.members[i].name; !slices.Contains(names, name) {
			c.bad(under(path, safeName(name)), codeUnknown, strings.Join(names, ", "))
		}
	}
	return true
}

func under(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// text is the member name of n, checked by r.
func (c *checker) text(n *node, path, name string, required bool, r rule) string {
	field := under(path, name)
	v := n.member(name)
	if v == nil {
		if required {
			c.bad(field, codeMissing, "")
		}
		return ""
	}
	if v.kind != kindString {
		code := codeNotString
		if v.kind == kindNull {
			code = codeNull
		}
		c.bad(field, code, "")
		return ""
	}
	kept, err := r(v.text, c.now)
	if err != nil {
		c.bad(field, slugOf(err), "")
	}
	return kept
}

// readBook reads the body of POST /v1/reservations.
func readBook(body []byte, now time.Time) (booking.BookRequest, *node, error) {
	c := &checker{now: now}
	n := c.parse(body)
	var req booking.BookRequest
	if n != nil && c.object(n, "", "slot_id", "resident", "booked_by", "language", "reference") {
		req.SlotID = c.text(n, "", "slot_id", true, idRule)
		req.Language = c.text(n, "", "language", false, filled(plain(booking.NormalizeLanguage)))
		req.Reference = c.text(n, "", "reference", false, plain(booking.NormalizeReference))
		if r := n.member("resident"); r == nil {
			c.bad("resident", codeMissing, "")
		} else if c.object(r, "resident", "identity", "name", "birth_date", "phone") {
			req.Identity = c.text(r, "resident", "identity", true, plain(booking.NormalizeIdentity))
			req.Name = personal.Name(c.text(r, "resident", "name", true, plain(booking.NormalizeName)))
			req.BirthDate = c.text(r, "resident", "birth_date", true, booking.ParseBirthDate)
			req.Phone = personal.Phone(c.text(r, "resident", "phone", true, plain(booking.NormalizePhone)))
		}
		if b := n.member("booked_by"); b != nil && c.object(b, "booked_by", "name", "phone") {
			req.Booker = &booking.Person{
				Name:  personal.Name(c.text(b, "booked_by", "name", true, plain(booking.NormalizeName))),
				Phone: personal.Phone(c.text(b, "booked_by", "phone", true, plain(booking.NormalizePhone))),
			}
		}
	}
	if req.Language == "" {
		req.Language, _ = booking.NormalizeLanguage("") // the default
	}
	return req, n, c.err()
}

// readReschedule reads the body of POST /v1/reservations/{id}/reschedule.
func readReschedule(body []byte, now time.Time) (slotID string, n *node, err error) {
	c := &checker{now: now}
	if n = c.parse(body); n != nil && c.object(n, "", "slot_id") {
		slotID = c.text(n, "", "slot_id", true, idRule)
	}
	return slotID, n, c.err()
}

// readContact reads the body of POST /v1/reservations/{id}/contact: at least one thing to correct.
func readContact(body []byte, now time.Time) (fix booking.Correction, n *node, err error) {
	c := &checker{now: now}
	if n = c.parse(body); n != nil && c.object(n, "", "name", "phone", "language") {
		fix.Name = personal.Name(c.text(n, "", "name", false, plain(booking.NormalizeName)))
		fix.Phone = personal.Phone(c.text(n, "", "phone", false, plain(booking.NormalizePhone)))
		fix.Language = c.text(n, "", "language", false, filled(plain(booking.NormalizeLanguage)))
		if len(n.members) == 0 {
			c.bad("body", codeAnyOf, "name, phone, language")
		}
	}
	return fix, n, c.err()
}

// flag is the member name of n, false when there is none.
func (c *checker) flag(n *node, name string) bool {
	v := n.member(name)
	switch {
	case v == nil:
		return false
	case v.kind == kindNull:
		c.bad(name, codeNull, "")
	case v.kind != kindBool:
		c.bad(name, codeNotBool, "")
	}
	return v.text == "true"
}

// readResend reads the body of POST /v1/reservations/{id}/resend.
func readResend(body []byte, now time.Time) (booking.ResendOrder, *node, error) {
	c := &checker{now: now}
	n := c.parse(body)
	var order booking.ResendOrder
	if n != nil && c.object(n, "", "reason", "recipient", "even_if_unknown") {
		order.Reason = c.text(n, "", "reason", true, plain(booking.NormalizeReason))
		c.text(n, "", "recipient", false, filled(func(s string, _ time.Time) (_ string, err error) {
			order.Recipients, err = booking.ParseRecipient(s)
			return s, err
		}))
		order.EvenIfUnknown = c.flag(n, "even_if_unknown")
	}
	return order, n, c.err()
}

// readSearch reads the body of POST /v1/reservations/search: a code or a reference, not both.
func readSearch(body []byte, now time.Time) (code, reference string, err error) {
	c := &checker{now: now}
	n := c.parse(body)
	if n != nil && c.object(n, "", "code", "reference") {
		code = c.text(n, "", "code", false, plain(booking.ParseCode))
		reference = c.text(n, "", "reference", false, filled(plain(booking.NormalizeReference)))
		hasCode, hasReference := n.member("code") != nil, n.member("reference") != nil
		if hasCode == hasReference {
			c.bad("body", codeOneOf, "code, reference")
		}
	}
	return code, reference, c.err()
}

// readEligibility reads the body of POST /v1/programmes/{id}/eligibility.
func readEligibility(body []byte, now time.Time) (birthDate string, err error) {
	c := &checker{now: now}
	if n := c.parse(body); n != nil && c.object(n, "", "birth_date") {
		birthDate = c.text(n, "", "birth_date", true, booking.ParseBirthDate)
	}
	return birthDate, c.err()
}

// readLookup reads the body of POST /v1/lookup.
func readLookup(body []byte, now time.Time) (code, birthDate string, err error) {
	c := &checker{now: now}
	if n := c.parse(body); n != nil && c.object(n, "", "code", "birth_date") {
		code = c.text(n, "", "code", true, plain(booking.ParseCode))
		birthDate = c.text(n, "", "birth_date", true, booking.ParseBirthDate)
	}
	return code, birthDate, c.err()
}

// readEmpty reads the body of a call that takes none: nothing, or an empty object.
func readEmpty(body []byte) (*node, error) {
	if len(body) == 0 {
		return &node{kind: kindObject}, nil
	}
	c := &checker{}
	n := c.parse(body)
	if n != nil {
		c.object(n, "")
	}
	return n, c.err()
}
