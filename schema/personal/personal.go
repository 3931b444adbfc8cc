// Package personal has the types for what may leave the database only towards the person it belongs to: names and phone
// numbers. However they are printed, logged or marshalled they come out masked; Reveal is the one way to the value, so that
// every place which uses it can be found by that word.
//
// What Go prints by reflection it cannot always be kept from. fmt shows the fields of a struct that are not exported, and all
// below them, without asking the field, also for %v of the whole struct and so in slog's text handler; with %s and the other
// verbs that are not %v it shows what lies behind a pointer within a struct; encoding/json writes the keys of a map as they
// are. So: a field of these types is exported, no map has them as keys, and a struct that holds them is logged by its ids, not
// whole. This package's tests look for the first two in the whole module.
package personal

import (
	"fmt"
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

// Format writes String for every verb: for one that does not fit a string, such as %d, fmt would print the value itself.
func (p Phone) Format(f fmt.State, verb rune) { format(f, verb, p.String()) }

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

// Format writes String for every verb: for one that does not fit a string, such as %d, fmt would print the value itself.
func (n Name) Format(f fmt.State, verb rune) { format(f, verb, n.String()) }

// MarshalText is String.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// LogValue is String.
func (n Name) LogValue() slog.Value { return slog.StringValue(n.String()) }

// format writes the masked text as verb and its flags have it, as text for the verbs that are not for strings.
func format(f fmt.State, verb rune, masked string) {
	switch verb {
	case 'q', 'x', 'X':
		fmt.Fprintf(f, fmt.FormatString(f, verb), masked)
	default:
		fmt.Fprintf(f, fmt.FormatString(f, 's'), masked)
	}
}
