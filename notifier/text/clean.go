package text

import (
	"net/url"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// longestName bounds the work on hostile names, far above what fits.
const longestName = 64

// person makes a name fit to be sent: letters, single spaces, hyphens and apostrophes, so that it can neither begin a line
// nor look like a link. A name with a letter that the text cannot carry is left out: half a name is a wrong one.
func person(name string, allowed func(rune) bool) string {
	var b strings.Builder
	n := 0
	for _, r := range norm.NFC.String(head(name)) {
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case r == '’':
			r = '\''
		case r == '-' || r == '\'':
		case !unicode.IsLetter(r) && !unicode.IsMark(r):
			continue
		case !allowed(r):
			return ""
		}
		if n++; n > longestName {
			return ""
		}
		b.WriteRune(r)
	}
	return strings.Trim(strings.Join(strings.Fields(b.String()), " "), "-' ")
}

// plain makes a line of what an operator wrote: no controls, no characters that the text cannot carry.
func plain(s string, allowed func(rune) bool) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r) || !allowed(r):
			return -1
		default:
			return r
		}
	}, norm.NFC.String(head(s)))
	return strings.Join(strings.Fields(s), " ")
}

// head is the beginning of s, longer than any text.
func head(s string) string {
	const most = 2 << 10
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}

// link is s when it is an http URL of plain ASCII, else "".
func link(s string) string {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return ""
	}
	for _, r := range s {
		if r <= ' ' || r > '~' {
			return ""
		}
	}
	return s
}
