// Package personal has the types for what may leave the database only towards the person it belongs to: names and phone
// numbers. However they are printed, logged or marshalled they come out masked; Reveal is the one way to the value, so that
// every place which uses it can be found by that word.
package personal

import (
	"log/slog"
	"strings"
	"unicode/utf8"
)

// Phone is a phone number in E.164 form.
type Phone string

// Reveal is the number itself.
func (p Phone) Reveal() string { return string(p) }

// String masks all but the last two digits.
func (p Phone) String() string {
	if len(p) <= 2 {
		return "••"
	}
	return "••••" + string(p[len(p)-2:])
}

// GoString is String, so that %#v masks too.
func (p Phone) GoString() string { return p.String() }

// MarshalText is String.
func (p Phone) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// LogValue is String.
func (p Phone) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Name is a person's name.
type Name string

// Reveal is the name itself.
func (n Name) Reveal() string { return string(n) }

// String keeps the first letter (of a Korean name: the family name) and masks the rest: 홍길동 → 홍**.
func (n Name) String() string {
	r, size := utf8.DecodeRuneInString(string(n))
	if size == 0 {
		return ""
	}
	return string(r) + strings.Repeat("*", min(8, max(1, utf8.RuneCountInString(string(n[size:])))))
}

// GoString is String, so that %#v masks too.
func (n Name) GoString() string { return n.String() }

// MarshalText is String.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// LogValue is String.
func (n Name) LogValue() slog.Value { return slog.StringValue(n.String()) }
