package booking

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

const (
	// maxID is the most bytes that an id of a programme file has.
	maxID = 64
	// maxFile is the most bytes of a programme file: some 100,000 slots.
	maxFile = 16 << 20
	// maxCapacity is the most places of a slot.
	maxCapacity = 1_000_000
)

var (
	idForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	dateForm = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
)

// ParseProgramme reads a programme file: YAML, and so JSON too. Unknown fields are refused. The error wraps
// ErrProgrammeFile and its text lists every problem, each with its line and with what would be right.
func ParseProgramme(r io.Reader) (ProgrammeFile, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return ProgrammeFile{}, fmt.Errorf("read the programme file: %w", err)
	}
	f := &fileReader{}
	switch {
	case len(data) > maxFile:
		f.add(nil, "", "the file is larger than %d MiB", maxFile>>20)
	case !utf8.Valid(data):
		f.add(nil, "", "the file is not UTF-8")
	default:
		if root := f.document(data); root != nil {
			p := f.programme(root)
			if err := f.err(); err != nil {
				return ProgrammeFile{}, err
			}
			return p, nil
		}
	}
	return ProgrammeFile{}, f.err()
}

func (f *fileReader) programme(root ast.Node) ProgrammeFile {
	m := f.mapping(root, "", []string{"id", "name", "tag", "time_zone", "opens_at", "closes_at", "sites", "slots"}, []string{"rules"})
	if m == nil {
		return ProgrammeFile{}
	}
	p := ProgrammeFile{
		ID: f.id(m["id"], "id", nil), Name: f.text(m["name"], "name", 60), Tag: f.text(m["tag"], "tag", 12),
		OpensAt: f.instant(m["opens_at"], "opens_at"), ClosesAt: f.instant(m["closes_at"], "closes_at"),
	}
	if zone, ok := f.scalar(m["time_zone"], "time_zone"); ok {
		p.TimeZone = zone
		if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
			f.add(m["time_zone"], "time_zone", "must be the IANA name of a zone, as Asia/Seoul")
		}
	}
	f.order(m["closes_at"], "closes_at", p.OpensAt, p.ClosesAt)
	ids := map[string]bool{}
	for i, n := range f.sequence(m["rules"], "rules") {
		p.Rules = append(p.Rules, f.rule(n, fmt.Sprintf("rules[%d]", i), ids, &p))
	}
	siteIDs := map[string]bool{}
	for i, n := range f.sequence(m["sites"], "sites") {
		path := fmt.Sprintf("sites[%d]", i)
		s := f.mapping(n, path, []string{"id", "name"}, nil)
		p.Sites = append(p.Sites, Site{ID: f.id(s["id"], join(path, "id"), siteIDs), Name: f.text(s["name"], join(path, "name"), 60)})
	}
	ids = map[string]bool{}
	for i, n := range f.sequence(m["slots"], "slots") {
		p.Slots = append(p.Slots, f.slot(n, fmt.Sprintf("slots[%d]", i), ids, siteIDs, &p))
	}
	return p
}

func (f *fileReader) rule(n ast.Node, path string, ids map[string]bool, p *ProgrammeFile) Rule {
	m := f.mapping(n, path, []string{"id", "born_from", "born_to"}, []string{"opens_at", "closes_at"})
	r := Rule{ID: f.id(m["id"], join(path, "id"), ids), BornFrom: f.date(m["born_from"], join(path, "born_from")),
		BornTo: f.date(m["born_to"], join(path, "born_to")), OpensAt: p.OpensAt, ClosesAt: p.ClosesAt}
	if r.BornFrom != "" && r.BornTo != "" && r.BornTo < r.BornFrom {
		f.add(m["born_to"], join(path, "born_to"), "must not be before born_from")
	}
	last := n
	if o := m["opens_at"]; o != nil {
		last = o
		if r.OpensAt = f.instant(o, join(path, "opens_at")); !r.OpensAt.IsZero() && r.OpensAt.Before(p.OpensAt) {
			f.add(o, join(path, "opens_at"), "must not be before the programme opens")
		}
	}
	if c := m["closes_at"]; c != nil {
		last = c
		if r.ClosesAt = f.instant(c, join(path, "closes_at")); !p.ClosesAt.IsZero() && r.ClosesAt.After(p.ClosesAt) {
			f.add(c, join(path, "closes_at"), "must not be after the programme closes")
		}
	}
	if m["opens_at"] != nil || m["closes_at"] != nil { // else it is the programme's own, told there
		f.order(last, join(path, "closes_at"), r.OpensAt, r.ClosesAt)
	}
	return r
}

func (f *fileReader) slot(n ast.Node, path string, ids, siteIDs map[string]bool, p *ProgrammeFile) SlotSpec {
	m := f.mapping(n, path, []string{"id", "site", "starts_at", "capacity"}, nil)
	s := SlotSpec{ID: f.id(m["id"], join(path, "id"), ids), StartsAt: f.instant(m["starts_at"], join(path, "starts_at"))}
	if site, ok := f.scalar(m["site"], join(path, "site")); ok {
		s.SiteID = site
		if !siteIDs[site] {
			f.add(m["site"], join(path, "site"), "must be the id of one of the sites")
		}
	}
	if !s.StartsAt.IsZero() && !p.OpensAt.IsZero() && !s.StartsAt.After(p.OpensAt) {
		f.add(m["starts_at"], join(path, "starts_at"), "must be after the programme opens")
	}
	if text, ok := f.scalar(m["capacity"], join(path, "capacity")); ok {
		var err error
		if s.Capacity, err = strconv.Atoi(text); err != nil || s.Capacity < 1 || s.Capacity > maxCapacity {
			f.add(m["capacity"], join(path, "capacity"), "must be a whole number from 1 to %d", maxCapacity)
		}
	}
	return s
}

// id reads an id, which must not be among those of seen.
func (f *fileReader) id(n ast.Node, path string, seen map[string]bool) string {
	id, ok := f.scalar(n, path)
	switch {
	case !ok:
		return ""
	case !idForm.MatchString(id):
		f.add(n, path, "must have 1 to %d letters, digits, dots, dashes or underscores, and begin with a letter or digit", maxID)
	case seen[id]:
		f.add(n, path, "is used twice")
	case seen != nil:
		seen[id] = true
	}
	return id
}

// text reads a text in both languages, each of at most limit characters.
func (f *fileReader) text(n ast.Node, path string, limit int) Text {
	if n == nil {
		return Text{}
	}
	m := f.mapping(n, path, []string{"ko", "en"}, nil)
	one := func(lang string) string {
		s, ok := f.scalar(m[lang], join(path, lang))
		if !ok {
			return ""
		}
		s, ok = line(s, limit)
		if !ok || s == "" {
			f.add(m[lang], join(path, lang), "must have 1 to %d characters without control characters", limit)
		}
		return s
	}
	return Text{Ko: one("ko"), En: one("en")}
}

func (f *fileReader) date(n ast.Node, path string) string {
	s, ok := f.scalar(n, path)
	if !ok {
		return ""
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil || !dateForm.MatchString(s) {
		f.add(n, path, "must be a date as 1967-01-31")
		return ""
	}
	return s
}

func (f *fileReader) instant(n ast.Node, path string) time.Time {
	s, ok := f.scalar(n, path)
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 2000 || t.Year() > 2200 {
		f.add(n, path, "must be a time with its offset, as 2021-07-19T20:00:00+09:00")
		return time.Time{}
	}
	return t.Truncate(time.Microsecond) // what the databases keep
}

func (f *fileReader) order(n ast.Node, path string, opens, closes time.Time) {
	if !opens.IsZero() && !closes.IsZero() && !closes.After(opens) {
		f.add(n, path, "must be after opens_at")
	}
}
