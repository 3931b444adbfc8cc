package api

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"ansim/booking"
)

// programmesFor is how long a list of programmes is shown without asking the database again: people who wait for a gate
// ask often, and a programme seldom changes. Gates are decided by the booking transaction, not by this list.
const programmesFor = time.Second

// programmeCache keeps the list of programmes.
type programmeCache struct {
	list func(context.Context) (booking.Catalogue, error)
	mu   sync.Mutex // held while reading, so that one caller reads for all
	at   time.Time
	last []booking.Programme
	skew time.Duration // how far the database's clock is before that of the API
}

// get is the list, and what the database's clock says when the API's says now: people are shown the clock that decides.
func (p *programmeCache) get(ctx context.Context, clock func() time.Time) (list []booking.Programme, now time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if age := time.Since(p.at); p.last != nil && age < programmesFor {
		return p.last, clock().Add(p.skew), nil
	}
	c, err := p.list(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	if c.Programmes == nil {
		c.Programmes = []booking.Programme{}
	}
	p.last, p.at, p.skew = c.Programmes, time.Now(), c.At.Sub(clock())
	return p.last, c.At, nil
}

// findProgramme is the programme with an id, and the database's time.
func (c *call) findProgramme(id string) (booking.Programme, time.Time, error) {
	list, now, err := c.programmes.get(c.r.Context(), c.now)
	if err != nil {
		return booking.Programme{}, now, err
	}
	i := slices.IndexFunc(list, func(p booking.Programme) bool { return p.ID == id })
	if i < 0 {
		return booking.Programme{}, now, booking.ErrNotFound
	}
	return list[i], now, nil
}

type programmeJSON struct {
	ID         string          `json:"id" example:"covid-2021-50s"`
	Name       translationJSON `json:"name"`
	TimeZone   string          `json:"time_zone" example:"Asia/Seoul"`
	OpensAt    string          `json:"opens_at" format:"date-time" example:"2021-07-19T20:00:00+09:00"`
	ClosesAt   string          `json:"closes_at" format:"date-time" example:"2021-07-24T18:00:00+09:00"`
	Rules      []ruleJSON      `json:"rules" nullable:"false" doc:"Who may book when; none: everybody."`
	ServerTime string          `json:"server_time" format:"date-time" example:"2021-07-19T19:59:58.25+09:00" doc:"To set a clock by."`
}

type translationJSON struct {
	Ko string `json:"ko" example:"코로나19 예방접종"`
	En string `json:"en" example:"COVID-19 vaccination"`
}

type ruleJSON struct {
	ID       string `json:"id" example:"born-1967-1968"`
	BornFrom string `json:"born_from" format:"date" example:"1967-01-01" doc:"Inclusive."`
	BornTo   string `json:"born_to" format:"date" example:"1968-12-31" doc:"Inclusive."`
	OpensAt  string `json:"opens_at" format:"date-time" example:"2021-07-19T20:00:00+09:00"`
	ClosesAt string `json:"closes_at" format:"date-time" example:"2021-07-24T18:00:00+09:00"`
}

type programmeList struct {
	Programmes []programmeJSON `json:"programmes" nullable:"false"`
	ServerTime string          `json:"server_time" format:"date-time" example:"2021-07-19T19:59:58.25+09:00"`
}

// listProgrammes is GET /v1/programmes.
func (c *call) listProgrammes() error {
	list, now, err := c.programmes.get(c.r.Context(), c.now)
	if err != nil {
		return err
	}
	out := programmeList{Programmes: make([]programmeJSON, len(list)), ServerTime: stamp(now.UTC())}
	for i, p := range list {
		out.Programmes[i] = programmeOf(p, now)
	}
	return writeJSON(c.w, http.StatusOK, out)
}

// getProgramme is GET /v1/programmes/{id}.
func (c *call) getProgramme() error {
	p, now, err := c.findProgramme(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, programmeOf(p, now))
}

// eligibilityJSON is what the rules say of a birth date.
type eligibilityJSON struct {
	Eligible    bool        `json:"eligible" doc:"A rule admits this birth date, or there are no rules."`
	BookableNow bool        `json:"bookable_now" doc:"And its window is open at server_time."`
	Rule        string      `json:"rule,omitempty" example:"born-1967-1968" doc:"The rule that decides; absent when the programme's own window does."`
	OpensAt     string      `json:"opens_at,omitempty" format:"date-time" example:"2021-07-19T20:00:00+09:00" doc:"Of the window that decides: an open one, else the next to open, else the last that closed. Absent when no rule admits."`
	ClosesAt    string      `json:"closes_at,omitempty" format:"date-time" example:"2021-07-24T18:00:00+09:00"`
	NextWindow  *windowJSON `json:"next_window,omitempty" doc:"The next window that opens for this birth date; absent when none does."`
	ServerTime  string      `json:"server_time" format:"date-time" example:"2021-07-19T19:59:58.25+09:00"`
}

// eligibility is POST /v1/programmes/{id}/eligibility. It is a POST so that no birth date stands in a URL.
func (c *call) eligibility() error {
	body, err := c.json()
	if err != nil {
		return err
	}
	p, now, err := c.findProgramme(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	birthDate, err := readEligibility(body, now)
	if err != nil {
		return err
	}
	e, zone := p.Eligible(birthDate, now), p.OpensAt.Location()
	out := eligibilityJSON{Eligible: e.Eligible, BookableNow: e.Open, ServerTime: stamp(now.In(zone))}
	if w := e.Window; w != nil {
		out.Rule, out.OpensAt, out.ClosesAt = w.Rule, stamp(w.OpensAt.In(zone)), stamp(w.ClosesAt.In(zone))
	}
	if w := e.Next; w != nil {
		out.NextWindow = &windowJSON{w.Rule, stamp(w.OpensAt.In(zone)), stamp(w.ClosesAt.In(zone))}
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func programmeOf(p booking.Programme, now time.Time) programmeJSON {
	zone := p.OpensAt.Location()
	out := programmeJSON{
		ID: p.ID, Name: translationJSON{p.Name.Ko, p.Name.En}, TimeZone: p.TimeZone, OpensAt: stamp(p.OpensAt),
		ClosesAt: stamp(p.ClosesAt.In(zone)), Rules: make([]ruleJSON, len(p.Rules)), ServerTime: stamp(now.In(zone)),
	}
	for i, r := range p.Rules {
		out.Rules[i] = ruleJSON{r.ID, r.BornFrom, r.BornTo, stamp(r.OpensAt.In(zone)), stamp(r.ClosesAt.In(zone))}
	}
	return out
}
