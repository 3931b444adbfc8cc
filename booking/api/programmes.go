package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"ansim/booking"
)

// programmesFor is how long a list of programmes is shown without asking the database again: people who wait for a gate
// ask often, and a programme seldom changes. Gates are decided by the booking transaction, not by this list.
const programmesFor = time.Second

// programmeCache keeps the list of programmes.
type programmeCache struct {
	list func(context.Context) ([]booking.Programme, error)
	mu   sync.Mutex // held while reading, so that one caller reads for all
	at   time.Time
	last []booking.Programme
}

func (p *programmeCache) get(ctx context.Context) ([]booking.Programme, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if age := time.Since(p.at); p.last != nil && age < programmesFor {
		return p.last, nil
	}
	list, err := p.list(ctx)
	if err != nil {
		return nil, err
	}
	p.last, p.at = list, time.Now()
	return list, nil
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
	list, err := c.programmes.get(c.r.Context())
	if err != nil {
		return err
	}
	out := programmeList{Programmes: make([]programmeJSON, len(list)), ServerTime: stamp(c.now().UTC())}
	for i, p := range list {
		out.Programmes[i] = programmeOf(p, c.now())
	}
	return writeJSON(c.w, http.StatusOK, out)
}

// getProgramme is GET /v1/programmes/{id}.
func (c *call) getProgramme() error {
	list, err := c.programmes.get(c.r.Context())
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.ID == c.r.PathValue("id") {
			return writeJSON(c.w, http.StatusOK, programmeOf(p, c.now()))
		}
	}
	return booking.ErrNotFound
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
