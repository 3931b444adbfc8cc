package booking_test

import (
	"testing"
	"time"

	"ansim/booking"
)

func TestGate(t *testing.T) {
	each(t, ruled, func(t *testing.T, w *world) {
		at := func(s string) time.Time {
			v, err := time.Parse(time.RFC3339, s)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		const opens, closes = "2021-07-19T20:00:00+09:00", "2021-07-24T18:00:00+09:00"
		for i, c := range []struct {
			now, birth    string
			kind          error
			rule          string
			opens, closes string
			next          bool
		}{
			{"2021-07-19T19:59:59.999999+09:00", "1967-01-01", booking.ErrNotOpenYet, "born-1967-1968", opens, closes, true},
			{opens, "1967-01-01", nil, "", "", "", false},
			{opens, "1968-12-31", nil, "", "", "", false},
			{opens, "1969-01-01", booking.ErrNotEligible, "born-1967-1968", "", "", false},
			{"2021-07-19T19:00:00+09:00", "1969-01-01", booking.ErrNotOpenYet, "", opens, closes, true},
			{"2021-07-19T20:59:59.999999+09:00", "1962-01-01", nil, "", "", "", false},
			{"2021-07-19T21:00:00+09:00", "1962-01-01", booking.ErrWindowClosed, "born-1962", opens, "2021-07-19T21:00:00+09:00", false},
			{opens, "1970-07-07", booking.ErrNotOpenYet, "born-1970", "2021-07-21T20:00:00+09:00", "2021-07-22T18:00:00+09:00", true},
			{"2021-07-21T20:00:00+09:00", "1970-07-07", nil, "", "", "", false},
			{"2021-07-22T18:00:00+09:00", "1970-07-07", booking.ErrWindowClosed, "born-1970", "2021-07-21T20:00:00+09:00", "2021-07-22T18:00:00+09:00", false},
			{closes, "1967-01-01", booking.ErrWindowClosed, "born-1967-1968", opens, closes, false},
			{closes, "1980-01-01", booking.ErrWindowClosed, "", opens, closes, false},
		} {
			w.clock.Set(at(c.now))
			req := born(c.now+c.birth, c.birth)
			_, err := w.svc.Book(t.Context(), w.call(), req)
			if c.kind == nil {
				if err != nil {
					t.Errorf("%d: %v", i, err)
				}
				continue
			}
			r := refusal(t, err, c.kind)
			if r.Rule != c.rule || !r.ServerTime.Equal(at(c.now)) || r.ProgrammeID != "covid" || (r.NextWindow != nil) != c.next {
				t.Errorf("%d: %+v", i, r)
			}
			if c.opens != "" && (r.OpensAt.Format(time.RFC3339) != c.opens || r.ClosesAt.Format(time.RFC3339) != c.closes) {
				t.Errorf("%d: window %v to %v", i, r.OpensAt, r.ClosesAt)
			}
			if r.NextWindow != nil && !r.NextWindow.OpensAt.Equal(at(c.opens)) {
				t.Errorf("%d: next window %+v", i, r.NextWindow)
			}
		}
		w.audit()
	})
}

func TestSlotThatBegan(t *testing.T) {
	file := head + `
sites: [{id: x, name: {ko: 가, en: A}}]
slots: [{id: g0, site: x, starts_at: 2021-07-20T10:00:00+09:00, capacity: 5}]`
	each(t, file, func(t *testing.T, w *world) {
		w.clock.Set(time.Date(2021, 7, 20, 0, 59, 59, 0, time.UTC))
		w.book("id-1", "g0")
		w.clock.Set(time.Date(2021, 7, 20, 1, 0, 0, 0, time.UTC))
		_, err := w.svc.Book(t.Context(), w.call(), person("id-2", "g0"))
		if r := refusal(t, err, booking.ErrWindowClosed); !r.ClosesAt.Equal(w.clock.Now()) {
			t.Errorf("closes at %v", r.ClosesAt)
		}
	})
}
