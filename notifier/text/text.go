// Package text writes what a reservation's text says.
//
// A text is one segment, always, and always carries the reservation code. Korean is UCS-2, 70 units a segment; carriers put
// [Web발신] or [국제발신] in front, and within Korea count EUC-KR bytes, so ours have at most 60 units and 90 bytes and use
// only KS X 1001, which every Korean phone shows. English is GSM-7, 160 units. What does not fit goes in this order: the
// link, the end of the site's name, the person's name, the site, the end of the tag. The code never goes.
//
// Render is a pure function: a further attempt or a resend of the same data has the same body, by which the provider's list
// is searched. The booker's text differs from the resident's, so that a family with one phone gets two texts that can be
// told apart. Whoever has a number that was corrected is told that, and nothing of the reservation but the code.
package text

import (
	"errors"
	"strings"
	"time"

	"ansim/schema/personal"
)

// Errors of Render. They quote nothing of the input.
var (
	// ErrKind: there is no text of this kind.
	ErrKind = errors.New("no text of this kind")
	// ErrLanguage: texts are in ko or en.
	ErrLanguage = errors.New("no text in this language")
	// ErrCode: the reservation code is not ten characters of Crockford's base 32.
	ErrCode = errors.New("malformed reservation code")
)

// Encoding is how a text travels.
type Encoding string

// The encodings.
const (
	GSM7 Encoding = "GSM-7"
	UCS2 Encoding = "UCS-2"
)

// In is what a text is made of.
type In struct {
	Kind         string        // confirmation, change or cancellation
	Language     string        // ko or en
	TagKo, TagEn string        // what the text begins with, in brackets
	Name         personal.Name // of the person who is booked, whoever gets the text
	SiteKo       string
	SiteEn       string
	StartsAt     time.Time // in the programme's zone
	Code         string    // with or without its dash
	Link         string    // to the resident's page; "" for none
	ForBooker    bool      // the text is for the one who booked for Name
	ForFormer    bool      // the text is for whoever has the number that was replaced; it says nothing but that, and the code
}

// Out is a text, ready to be sent.
type Out struct {
	Body     string
	Segments int // always 1
	Units    int // of Encoding: UTF-16 code units, or septets
	Encoding Encoding
}

// Render writes the text.
func Render(in In) (Out, error) {
	l, ok := languages[in.Language]
	if !ok {
		return Out{}, ErrLanguage
	}
	word, ok := l.words[in.Kind]
	if !ok {
		return Out{}, ErrKind
	}
	code, err := dashed(in.Code)
	if err != nil {
		return Out{}, err
	}
	if in.ForFormer {
		in.Name, in.SiteKo, in.SiteEn, in.Link, word = "", "", "", "", l.former
	}
	p := parts{
		name: person(in.Name.Reveal(), l.allowed), word: word, forBooker: in.ForBooker,
		when: l.when(in.StartsAt), code: code, link: link(in.Link),
	}
	if in.ForFormer {
		p.when = ""
	}
	tag, site := in.TagEn, in.SiteEn
	if in.Language == "ko" {
		tag, site = in.TagKo, in.SiteKo
	}
	p.tag, p.site = plain(tag, l.allowed), plain(site, l.allowed)
	body := l.fit(p)
	return Out{Body: body, Segments: 1, Units: l.units(body), Encoding: l.encoding}, nil
}

// parts are the pieces of a text; an empty one is left out.
type parts struct {
	tag, name, word, when, site, code, link string
	forBooker                               bool
}

const (
	shortestSite = 6  // characters that still tell one site from another
	longestTag   = 12 // what is kept of a tag when all else has gone
)

// fit drops parts, in the order that the package comment gives, until the text is within the language's limits.
func (l language) fit(p parts) string {
	whole := p.site
	for _, drop := range []func() bool{
		func() bool { return true },
		func() bool { p.link = ""; return true },
		func() bool { return l.shorten(&p, whole, shortestSite) },
		func() bool { p.name, p.site = "", whole; return true },
		func() bool { return l.shorten(&p, whole, 1) },
		func() bool { p.site = ""; return true },
	} {
		if !drop() {
			continue
		}
		if body := l.write(p); l.within(body) {
			return body
		}
	}
	p.tag = string(first(p.tag, longestTag))
	return l.write(p)
}

// shorten cuts the end of the site's name by no more than is needed, and reports whether at least shortest characters are
// left.
func (l language) shorten(p *parts, whole string, shortest int) bool {
	for n := len([]rune(whole)) - 1; n >= shortest; n-- {
		p.site = strings.TrimRight(string(first(whole, n)), " ") + l.cut
		if l.within(l.write(*p)) {
			return true
		}
	}
	return false
}

func first(s string, n int) []rune {
	r := []rune(s)
	return r[:min(n, len(r))]
}

// dashed writes a code as people read it.
func dashed(code string) (string, error) {
	code = strings.ReplaceAll(code, "-", "")
	if len(code) != 10 || strings.Trim(code, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return "", ErrCode
	}
	return code[:5] + "-" + code[5:], nil
}
