package api

import (
	"errors"
	"time"

	"ansim/booking"
)

// maxID is the longest slot id that is looked for.
const maxID = 100

// rule takes a string into the form in which it is kept. Its error is a *booking.ValidationProblem, whose slug is the code
// of the field's error.
type rule func(s string, now time.Time) (string, error)

// plain makes a rule of one of booking's Normalize functions.
func plain[T ~string](normalize func(string) (T, error)) rule {
	return func(s string, _ time.Time) (string, error) {
		kept, err := normalize(s)
		return string(kept), err
	}
}

// slugOf is the code for an error of a rule.
func slugOf(err error) string {
	var p *booking.ValidationProblem
	if errors.As(err, &p) {
		return p.Slug
	}
	return codeWrong
}

// idRule admits what a programme file's ids can be; whether there is such a slot is for the transaction to say.
func idRule(s string, _ time.Time) (string, error) {
	if s == "" || len(s) > maxID {
		return "", errID
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return "", errID
		}
	}
	return s, nil
}

var errID = &booking.ValidationProblem{Slug: codeID, Sentence: fieldTexts[codeID].en}

// filled is a rule that also refuses "", for fields that are left out when there is nothing to say.
func filled(r rule) rule {
	return func(s string, now time.Time) (string, error) {
		if s == "" {
			return "", errEmpty
		}
		return r(s, now)
	}
}

var errEmpty = &booking.ValidationProblem{Slug: codeEmpty, Sentence: fieldTexts[codeEmpty].en}
