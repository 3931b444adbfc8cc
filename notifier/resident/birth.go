package resident

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"ansim/booking"
)

var (
	// errBirth: what was typed is no date that exists.
	errBirth = errors.New("no date")
	// errWholeNumber: somebody began to type a resident registration number, which is nobody's business here.
	errWholeNumber = errors.New("a resident registration number")
)

var (
	notDigits = regexp.MustCompile(`\D+`)
	// dateForm is year, month and day with anything usual between: 1967-03-21, 1967. 3. 21., 67년 3월 21일.
	dateForm = regexp.MustCompile(`^(\d{2}|\d{4}) ?[-./년] ?(\d{1,2}) ?[-./월] ?(\d{1,2}) ?[.일]?$`)
	// digitsForm is 19670321 and 670321.
	digitsForm = regexp.MustCompile(`^(\d{2}|\d{4})(\d{2})(\d{2})$`)
	// registered is the date and the first digit of a resident registration number, which many forms ask for.
	registered = regexp.MustCompile(`^(\d{2})(\d{2})(\d{2}) ?- ?(\d)$`)
)

// century is what the seventh digit of a resident registration number says (주민등록법 시행규칙; 5 to 8 are of foreigners).
var century = map[string]string{"9": "18", "0": "18", "1": "19", "2": "19", "5": "19", "6": "19", "3": "20", "4": "20", "7": "20", "8": "20"}

// parseBirth reads a date of birth in every form that is usual in Korea. Without a century it may be one of two days; those
// that lie ahead of now, or are nobody's any more, are left out. The errors are errBirth, errWholeNumber.
func parseBirth(s string, now time.Time) ([]string, error) {
	s = strings.Join(strings.Fields(norm.NFKC.String(s)), " ")
	if len(s) > 40 {
		return nil, errBirth
	}
	if n := len(notDigits.ReplaceAllString(s, "")); n > 8 {
		return nil, errWholeNumber
	}
	var years []string
	var month, day string
	if m := registered.FindStringSubmatch(s); m != nil {
		years, month, day = []string{century[m[4]] + m[1]}, m[2], m[3]
	} else {
		m := dateForm.FindStringSubmatch(s)
		if m == nil {
			m = digitsForm.FindStringSubmatch(s)
		}
		if m == nil {
			return nil, errBirth
		}
		years, month, day = []string{m[1]}, m[2], m[3]
		if len(m[1]) == 2 {
			years = []string{"19" + m[1], "20" + m[1]}
		}
	}
	var found []string
	for _, y := range years {
		if d, err := booking.ParseBirthDate(y+"-"+twoDigits(month)+"-"+twoDigits(day), now); err == nil {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		return nil, errBirth
	}
	return found, nil
}

func twoDigits(s string) string {
	n, _ := strconv.Atoi(s)
	if n < 10 {
		return "0" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}
