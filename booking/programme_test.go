package booking_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ansim/booking"
)

func TestParseProgramme(t *testing.T) {
	t.Parallel()
	p, err := booking.ParseProgramme(strings.NewReader(ruled))
	if err != nil {
		t.Fatal(err)
	}
	if p.Name.Ko != "코로나19 예방접종" || len(p.Rules) != 3 || len(p.Sites) != 2 || len(p.Slots) != 7 || p.Slots[1].Capacity != 2 {
		t.Errorf("%+v", p)
	}
	if r := p.Rules[0]; !r.OpensAt.Equal(p.OpensAt) || !r.ClosesAt.Equal(p.ClosesAt) {
		t.Errorf("a rule's window is not the programme's: %+v", r)
	}
	if _, err := booking.ParseProgramme(strings.NewReader(`{"id":"a","name":{"ko":"가","en":"A"},"tag":{"ko":"가","en":"A"},
		"time_zone":"Asia/Seoul","opens_at":"2021-07-19T20:00:00+09:00","closes_at":"2021-07-20T20:00:00Z","rules":null,
		"sites":[{"id":"s","name":{"ko":"가","en":"A"}}],"slots":[]}`)); err != nil {
		t.Errorf("JSON: %v", err)
	}
}

func TestProgrammeProblems(t *testing.T) {
	t.Parallel()
	// Each is a whole file with one line put in place of another, and what the error must say.
	for _, c := range []struct{ old, new, want string }{
		{"id: covid\n", "id: covid\nopen_at: 1\n", "line 3: open_at is an unknown field"},
		{"id: covid\n", "id: 'co vid'\n", "line 2: id must have"},
		{"id: covid\n", "id: covid\nid: covid\n", "line 3: not YAML: mapping key \"id\" already defined"},
		{"id: covid\n", "id: &a covid\n", "line 2: id must be written out"},
		{"id: covid\n", "", "id is missing"},
		{"capacity: 2}", "capacity: 0}", "slots[1].capacity must be a whole number from 1 to 1000000"},
		{"capacity: 2}", "capacity: 1000001}", "slots[1].capacity must be a whole number"},
		{"capacity: 2}", "capacity: two}", "slots[1].capacity must be a whole number"},
		{"capacity: 2}", "capacity: 2, room: 3}", "slots[1].room is an unknown field; known here: id, site, starts_at, capacity"},
		{"capacity: 2}", "capacity: [2]}", "slots[1].capacity must be a single value"},
		{"{id: g2, site: gangnam", "{id: g1, site: gangnam", "slots[1].id is used twice"},
		{"{id: g2, site: gangnam", "{id: g2, site: busan", "slots[1].site must be the id of one of the sites"},
		{"starts_at: 2021-07-26T10:40:00+09:00", "starts_at: 2021-07-26T10:40:00", "must be a time with its offset"},
		{"starts_at: 2021-07-26T10:40:00+09:00", "starts_at: 2021-07-18T10:40:00+09:00", "must be after the programme opens"},
		{"time_zone: Asia/Seoul", "time_zone: Asia/Busan", "time_zone must be the IANA name"},
		{"closes_at: 2021-07-24T18:00:00+09:00\n", "closes_at: 2021-07-19T20:00:00+09:00\n", "closes_at must be after opens_at"},
		{"tag: {ko: 백신예약, en: Vaccine}", "tag: {ko: 백신예약}", "tag.en is missing"},
		{"tag: {ko: 백신예약, en: Vaccine}", "tag: {ko: 백신예약, en: ''}", "tag.en must have 1 to 12 characters"},
		{"tag: {ko: 백신예약, en: Vaccine}", "tag: 백신예약", "tag must be a mapping with the fields ko, en"},
		{"born_to: 1968-12-31", "born_to: 1966-12-31", "rules[0].born_to must not be before born_from"},
		{"born_to: 1968-12-31", "born_to: 1968-13-31", "rules[0].born_to must be a date"},
		{"closes_at: 2021-07-22T18:00:00+09:00", "closes_at: 2021-07-25T18:00:00+09:00", "must not be after the programme closes"},
		{"sites:\n", "sites: {}\nplaces:\n", "places is an unknown field"},
		{"sites:\n", "sites: [\n", "not YAML"},
	} {
		file := strings.Replace(ruled, c.old, c.new, 1)
		if file == ruled {
			t.Fatalf("%q is not in the file", c.old)
		}
		_, err := booking.ParseProgramme(strings.NewReader(file))
		if !errors.Is(err, booking.ErrProgrammeFile) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q:\n%v\nwant: %s", c.new, c.old, err, c.want)
		}
	}
	all := strings.NewReplacer("capacity: 2}", "capacity: 0}", "id: covid", "ID: covid", "born_to: 1968-12-31", "born_to: x").Replace(ruled)
	_, err := booking.ParseProgramme(strings.NewReader(all))
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("not all problems at once: %v", err)
	}
	for _, file := range []string{"", "--- \na: 1\n---\nb: 2\n", "- 1", "just text", "a: \xff", "a:\n\t- b", strings.Repeat("[", 5000)} {
		if _, err := booking.ParseProgramme(strings.NewReader(file)); !errors.Is(err, booking.ErrProgrammeFile) {
			t.Errorf("%.20q: %v", file, err)
		}
	}
}

func FuzzParseProgramme(f *testing.F) {
	f.Add(ruled)
	f.Add("a: [b, {c: d}]")
	f.Add("id: !!int 3\nname: *x")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := booking.ParseProgramme(strings.NewReader(s)); err != nil && !errors.Is(err, booking.ErrProgrammeFile) {
			t.Errorf("an error of another kind: %v", err)
		}
	})
}

func (w *world) tryApply(file string) ([]booking.Change, error) {
	p, err := booking.ParseProgramme(strings.NewReader(file))
	if err != nil {
		w.t.Fatal(err)
	}
	return booking.ApplyProgramme(w.t.Context(), w.db, p, booking.ApplyOptions{By: "test"})
}

func TestApplyProgramme(t *testing.T) {
	each(t, ruled, func(t *testing.T, w *world) {
		if changes := w.apply(ruled); len(changes) != 0 {
			t.Errorf("applied again: %v", changes)
		}
		file := strings.NewReplacer("capacity: 2}", "capacity: 20}", "강남구보건소", "강남보건소",
			"  - {id: m2, site: mapo, starts_at: 2021-07-26T11:30:00+09:00, capacity: 10}", "  - {id: m3, site: mapo, starts_at: 2021-07-26T11:30:00+09:00, capacity: 10}",
			"born_to: 1968-12-31", "born_to: 1969-12-31", "starts_at: 2021-07-27T15:00:00+09:00", "starts_at: 2021-07-27T16:00:00+09:00",
			"closes_at: 2021-07-24T18:00:00+09:00", "closes_at: 2021-07-24T19:00:00+09:00").Replace(ruled)
		var got []string
		for _, c := range w.apply(file) {
			got = append(got, c.String())
		}
		// The other rules take over the programme's closing where they do not name their own.
		want := []string{"changed programme covid: closes_at 2021-07-24T09:00:00Z → 2021-07-24T10:00:00Z",
			"changed rule born-1967-1968: born_to 1968-12-31 → 1969-12-31, closes_at 2021-07-24T09:00:00Z → 2021-07-24T10:00:00Z",
			"changed site gangnam: name 강남구보건소 / Gangnam Health Center → 강남보건소 / Gangnam Health Center",
			"changed slot g2: capacity 2 → 20", "changed slot g5: starts_at 2021-07-27T06:00:00Z → 2021-07-27T07:00:00Z", "added slot m3", "removed slot m2"}
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("changes:\n%s", d)
		}
		catalogue, err := booking.ListProgrammes(t.Context(), w.db)
		list := catalogue.Programmes
		if err != nil || len(list) != 1 || list[0].Slots != 7 || list[0].Sites != 2 || len(list[0].Rules) != 3 || list[0].Capacity != 64 {
			t.Errorf("list: %+v, %v", list, err)
		}
		// A site goes with its slots, when nobody has booked there.
		short := ruled[:strings.Index(ruled, "  - {id: m1,")]
		short = strings.Replace(short, "  - {id: mapo, name: {ko: 마포구보건소, en: Mapo Health Center}}\n", "", 1)
		if changes := w.apply(short); !strings.Contains(changes[len(changes)-1].String(), "removed site mapo") {
			t.Errorf("%v", changes)
		}
	})
}

func TestApplyRefusals(t *testing.T) {
	each(t, ruled, func(t *testing.T, w *world) {
		w.book("id-1", "g2")
		w.book("id-2", "g2")
		w.cancel(w.book("id-3", "m1").ID)
		for _, c := range []struct{ old, new, want string }{
			{"capacity: 2}", "capacity: 1}", "slot g2: its capacity cannot become 1, since 2 places are taken"},
			{"g2, site: gangnam", "g2, site: mapo", "slot g2: it has reservations and cannot be moved"},
			{"2021-07-26T10:40:00+09:00", "2021-07-26T10:41:00+09:00", "slot g2: it has reservations and cannot be moved"},
			{"  - {id: g2, site: gangnam, starts_at: 2021-07-26T10:40:00+09:00, capacity: 2}\n", "", "slot g2: it has reservations and cannot be removed"},
			{"  - {id: m1, site: mapo, starts_at: 2021-07-26T10:30:00+09:00, capacity: 10}\n", "", "slot m1: it has reservations and cannot be removed"},
			{"Asia/Seoul", "Asia/Tokyo", "time_zone: the programme has reservations"},
			{"id: covid", "id: covid-2", "slot g1: the id is that of a slot of programme covid"},
			{"id: covid", "id: covid-2", "site mapo: the id is that of a site of programme covid"},
		} {
			changes, err := w.tryApply(strings.Replace(ruled, c.old, c.new, 1))
			if !errors.Is(err, booking.ErrBreaksBookings) || !strings.Contains(err.Error(), c.want) || changes != nil {
				t.Errorf("%q for %q: %v\nwant: %s", c.new, c.old, err, c.want)
			}
		}
		if changes := w.apply(ruled); len(changes) != 0 {
			t.Errorf("a refused file changed %v", changes)
		}
		w.audit()
	})
}

// TestApplyWhileBooking applies two files in turn while people book: nothing deadlocks, and no one is booked above a
// capacity.
func TestApplyWhileBooking(t *testing.T) {
	each(t, ruled, func(t *testing.T, w *world) {
		bigger := strings.ReplaceAll(ruled, "capacity: 10}", "capacity: 40}")
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 10 {
				file := []string{bigger, ruled}[i%2]
				if _, err := w.tryApply(file); err != nil && !errors.Is(err, booking.ErrBreaksBookings) {
					t.Errorf("apply: %v", err)
				}
			}
		})
		for i := range 8 {
			wg.Go(func() {
				for j := range 10 {
					req := person(strings.Repeat("x", i+1)+strings.Repeat("y", j), []string{"g4", "g5", "m1", "m2"}[j%4])
					if _, err := w.svc.Book(t.Context(), w.call(), req); err != nil && !errors.Is(err, booking.ErrSlotFull) {
						t.Errorf("book: %v", err)
					}
				}
			})
		}
		wg.Wait()
		w.audit()
	})
}
