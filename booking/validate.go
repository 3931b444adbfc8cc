package booking

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/unicode/norm"

	"ansim/schema/event"
	"ansim/schema/personal"
)

// The slugs of ValidationProblem. They are stable; the API has a sentence in each language for each.
const (
	SlugPhone          = "phone"
	SlugName           = "name"
	SlugNameLength     = "name-length"
	SlugNameCharacters = "name-characters"
	SlugBirthDate      = "birth-date"
	SlugBirthRange     = "birth-date-range"
	SlugIdentity       = "identity"
	SlugReference      = "reference"
	SlugLanguage       = "language"
	SlugCode           = "code"
	SlugKey            = "idempotency-key"
	SlugReason         = "reason"
	SlugRecipient      = "recipient"
	SlugRequestedBy    = "requested-by"
)

// sentences say for each slug what would be right.
var sentences = map[string]string{
	SlugPhone:          "must be a phone number that exists, as 010-1234-5678 or +82 10 1234 5678",
	SlugName:           "must not be empty",
	SlugNameLength:     "must have 1 to 60 characters",
	SlugNameCharacters: "must consist of letters, marks, spaces, digits and the signs of names such as . ' - ( )",
	SlugBirthDate:      "must be a date as 1967-03-21",
	SlugBirthRange:     "must lie between 1 January 1890 and today",
	SlugIdentity:       "must have 1 to 200 characters without control characters",
	SlugReference:      "must have at most 100 characters without control characters",
	SlugLanguage:       "must be ko or en",
	SlugCode:           "must have 10 letters and digits, as K7Q29-3TX4M",
	SlugKey:            "must have 1 to 255 visible ASCII characters",
	SlugReason:         "must have 1 to 200 characters without control characters",
	SlugRecipient:      "must be resident, booker or both",
	SlugRequestedBy:    "must have 1 to 100 characters without control characters",
}

// ValidationProblem says what would be right in place of a value. It never quotes the value.
type ValidationProblem struct {
	Slug     string // one of the Slug constants
	Sentence string // in English, to stand after the field's name
}

// Error is Sentence.
func (p *ValidationProblem) Error() string { return p.Sentence }

func problem(slug string) *ValidationProblem {
	return &ValidationProblem{Slug: slug, Sentence: sentences[slug]}
}

// NormalizePhone reads a number in any usual form, Korean when no country is given, and returns it as E.164. It must be one
// that can exist under its country's plan. The error is a *ValidationProblem.
func NormalizePhone(s string) (personal.Phone, error) {
	s = norm.NFKC.String(strings.TrimSpace(s)) // full-width digits
	if len(s) > 40 || !utf8.ValidString(s) || hasLetters(s) || hasForbidden(s) {
		return "", problem(SlugPhone)
	}
	if mobile, ok := koreanMobile(s); ok {
		return mobile, nil
	}
	n, err := phonenumbers.Parse(s, "KR")
	if err != nil || n.GetExtension() != "" || !phonenumbers.IsValidNumber(n) {
		return "", problem(SlugPhone)
	}
	return personal.Phone(phonenumbers.Format(n, phonenumbers.E164)), nil
}

// koreanMobile reads 010-1234-5678 and +82 10 1234 5678, however they are separated. All of 010 with eight digits are mobile
// numbers by the Korean numbering plan; the library's tables follow assignments late and would refuse people with new
// ones. It is also nearly every number here, and the library takes 8 µs for one.
func koreanMobile(s string) (personal.Phone, bool) {
	digits := make([]byte, 0, 16)
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c == '+' && i == 0:
			digits = append(digits, c)
		case c != '-' && c != ' ' && c != '.':
			return "", false
		}
	}
	d := string(digits)
	rest, ok := strings.CutPrefix(d, "010")
	if !ok {
		rest, ok = strings.CutPrefix(d, "+8210")
	}
	if !ok || len(rest) != 8 {
		return "", false
	}
	return personal.Phone("+8210" + rest), true
}

// hasLetters keeps vanity numbers (1-800-FLOWERS) and extensions out: a text cannot go there by mistake.
func hasLetters(s string) bool { return strings.IndexFunc(s, unicode.IsLetter) >= 0 }

// NormalizeName trims, composes (NFC) and checks a person's name: 1 to 60 characters, letters with their marks, digits,
// single spaces and the signs that names have. Control, direction-changing and invisible characters, symbols and emoji are
// refused: in a text they would hide or turn what follows. The error is a *ValidationProblem.
func NormalizeName(s string) (personal.Name, error) {
	if !utf8.ValidString(s) {
		return "", problem(SlugNameCharacters)
	}
	s = norm.NFC.String(strings.TrimSpace(s))
	if s == "" {
		return "", problem(SlugName)
	}
	if utf8.RuneCountInString(s) > 60 {
		return "", problem(SlugNameLength)
	}
	letters := false
	for _, r := range s {
		switch {
		case unicode.IsLetter(r):
			letters = true
		case unicode.IsMark(r), unicode.Is(unicode.Nd, r), strings.ContainsRune(" .,'’ʼ·-‐()", r):
		default:
			return "", problem(SlugNameCharacters)
		}
	}
	if !letters || strings.ContainsFunc(s, invisible) {
		return "", problem(SlugNameCharacters)
	}
	return personal.Name(strings.Join(strings.Fields(s), " ")), nil
}

// invisible says whether r is a letter or mark by class, and yet shows nothing: Hangul fillers, variation selectors.
func invisible(r rune) bool {
	return r == '\u115f' || r == '\u1160' || r == '\u3164' || r == '\uffa0' || unicode.Is(unicode.Variation_Selector, r)
}

// earliestBirth is before the birth of anybody alive.
const earliestBirth = "1890-01-01"

// ParseBirthDate checks a civil date, YYYY-MM-DD, that is neither before 1890 nor after now's date (where the day is
// furthest on, UTC+14, so that nobody's own today is refused). The error is a *ValidationProblem.
func ParseBirthDate(s string, now time.Time) (string, error) {
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return "", problem(SlugBirthDate)
	}
	s = d.Format(time.DateOnly)
	if s < earliestBirth || s > now.UTC().Add(14*time.Hour).Format(time.DateOnly) {
		return "", problem(SlugBirthRange)
	}
	return s, nil
}

// NormalizeIdentity checks an identity: 1 to 200 characters after trimming, none of them a control character. It is opaque
// and case counts, but its composition (NFC) does not. The error is a *ValidationProblem.
func NormalizeIdentity(s string) (string, error) {
	s, ok := line(s, 200)
	if !ok || s == "" {
		return "", problem(SlugIdentity)
	}
	return s, nil
}

// NormalizeReference checks a client's own reference: at most 100 characters after trimming; "" is none. The error is a
// *ValidationProblem.
func NormalizeReference(s string) (string, error) {
	s, ok := line(s, 100)
	if !ok {
		return "", problem(SlugReference)
	}
	return s, nil
}

// NormalizeReason checks the words with which a person asks for something: 1 to 200 characters after trimming, none of them a
// control character. The error is a *ValidationProblem.
func NormalizeReason(s string) (string, error) {
	s, ok := line(s, 200)
	if !ok || s == "" {
		return "", problem(SlugReason)
	}
	return s, nil
}

// ParseRecipient reads resident, booker or both; both, and "", is everybody whom the reservation knows, for which it returns
// nil. The error is a *ValidationProblem.
func ParseRecipient(s string) ([]event.Recipient, error) {
	switch s {
	case "", "both":
		return nil, nil
	case string(event.Resident), string(event.Booker):
		return []event.Recipient{event.Recipient(s)}, nil
	}
	return nil, problem(SlugRecipient)
}

// NormalizeLanguage is "ko" or "en"; "" is ko. The error is a *ValidationProblem.
func NormalizeLanguage(s string) (string, error) {
	switch s {
	case "":
		return "ko", nil
	case "ko", "en":
		return s, nil
	}
	return "", problem(SlugLanguage)
}

// NormalizeKey checks an Idempotency-Key: 1 to 255 visible ASCII characters. The error is a *ValidationProblem.
func NormalizeKey(s string) (string, error) {
	if len(s) < 1 || len(s) > 255 {
		return "", problem(SlugKey)
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return "", problem(SlugKey)
		}
	}
	return s, nil
}

// line trims and composes one line of text and says whether it is fit to be stored.
func line(s string, limit int) (string, bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	s = norm.NFC.String(strings.TrimSpace(s))
	return s, utf8.RuneCountInString(s) <= limit && !hasForbidden(s)
}

// hasForbidden says whether s has control characters, line separators, or format characters, among which are those that
// change the direction of writing.
func hasForbidden(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Cs, unicode.Co)
	})
}
