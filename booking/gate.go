package booking

import (
	"context"
	"fmt"
	"time"

	"ansim/schema/sqldb"
)

// programme is what the writer needs of a programme, with times in its zone.
type programme struct {
	id       string
	zone     string
	loc      *time.Location
	opensAt  time.Time
	closesAt time.Time
	rules    []Rule // in the file's order
}

// gate says why a person of that birth date may not book now, nil when they may.
//
// Without rules the programme's own window decides. With rules the person's own window does, of those that admit the birth
// date: one that is open, else the next to open, else the last that closed. Somebody whom no rule admits is told when the
// programme opens as long as it has not, and then that no rule admits them.
func (p *programme) gate(birthDate string, now time.Time) *Refusal {
	switch open, next, last := p.windows(birthDate, now); {
	case open != nil:
		return nil
	case next != nil:
		return p.outside(*next, now)
	case last != nil:
		return p.outside(*last, now)
	}
	if r := p.outside(Window{OpensAt: p.opensAt, ClosesAt: p.closesAt}, now); r != nil {
		return r
	}
	return &Refusal{Kind: ErrNotEligible, ProgrammeID: p.id, Rule: p.current(now), ServerTime: now.In(p.loc)}
}

// windows are those that admit a birth date: one that is open now, the next to open, and the last that closed; nil for none.
func (p *programme) windows(birthDate string, now time.Time) (open, next, last *Window) {
	all := []Window{{OpensAt: p.opensAt, ClosesAt: p.closesAt}}
	if len(p.rules) > 0 {
		all = nil
		for _, r := range p.rules {
			if birthDate >= r.BornFrom && birthDate <= r.BornTo {
				all = append(all, Window{Rule: r.ID, OpensAt: r.OpensAt, ClosesAt: r.ClosesAt})
			}
		}
	}
	for i := range all {
		w := &all[i]
		switch {
		case now.Before(w.OpensAt):
			if next == nil || w.OpensAt.Before(next.OpensAt) {
				next = w
			}
		case now.Before(w.ClosesAt):
			if open == nil {
				open = w
			}
		default:
			if last == nil || w.ClosesAt.After(last.ClosesAt) {
				last = w
			}
		}
	}
	return open, next, last
}

// Eligibility is what a programme's rules say of a birth date at an instant.
type Eligibility struct {
	Eligible bool    // a rule admits the birth date, or there are no rules
	Open     bool    // and its window is open
	Window   *Window // the one that decides: open, else the next to open, else the last that closed; nil when no rule admits
	Next     *Window // the next that opens, nil when none does
}

// Eligible says what p's rules say of a birth date, as the booking transaction would at now. It is a forecast: what counts is
// what the rules are, and what the database's clock says, when the booking is decided.
func (p Programme) Eligible(birthDate string, now time.Time) Eligibility {
	open, next, last := (&programme{opensAt: p.OpensAt, closesAt: p.ClosesAt, rules: p.Rules}).windows(birthDate, now)
	decides := open
	if decides == nil {
		decides = next
	}
	if decides == nil {
		decides = last
	}
	return Eligibility{Eligible: decides != nil, Open: open != nil, Window: decides, Next: next}
}

// outside is the refusal of a moment that is not within w, nil when it is.
func (p *programme) outside(w Window, now time.Time) *Refusal {
	r := &Refusal{ProgrammeID: p.id, Rule: w.Rule, OpensAt: w.OpensAt.In(p.loc), ClosesAt: w.ClosesAt.In(p.loc), ServerTime: now.In(p.loc)}
	switch {
	case now.Before(w.OpensAt):
		r.Kind = ErrNotOpenYet
		r.NextWindow = &Window{Rule: w.Rule, OpensAt: r.OpensAt, ClosesAt: r.ClosesAt}
	case !now.Before(w.ClosesAt):
		r.Kind = ErrWindowClosed
	default:
		return nil
	}
	return r
}

// current is the rule that admits people now though not this one: what a refusal can name. "" when there is none.
func (p *programme) current(now time.Time) string {
	for _, r := range p.rules {
		if !now.Before(r.OpensAt) && now.Before(r.ClosesAt) {
			return r.ID
		}
	}
	return ""
}

// loadProgrammes reads the programmes with those ids.
func loadProgrammes(ctx context.Context, tx *sqldb.Tx, ids map[string]bool, z zones) (map[string]*programme, error) {
	found := make(map[string]*programme, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	wanted := sqldb.NewRows("wanted", sqldb.Column{Name: "id", Type: sqldb.Text})
	for id := range ids {
		wanted.Add(id)
	}
	with, args := tx.Source(wanted)
	var rows []struct {
		ID       string      `db:"id"`
		Zone     string      `db:"time_zone"`
		Opens    sqldb.Time  `db:"opens_at"`
		Closes   sqldb.Time  `db:"closes_at"`
		Rule     *string     `db:"rule"`
		BornFrom *string     `db:"born_from"`
		BornTo   *string     `db:"born_to"`
		RuleOpen *sqldb.Time `db:"rule_opens_at"`
		RuleShut *sqldb.Time `db:"rule_closes_at"`
	}
	err := tx.Select(ctx, &rows, "WITH "+with+` SELECT p.id, p.time_zone, p.opens_at, p.closes_at,
			r.id AS rule, r.born_from, r.born_to, r.opens_at AS rule_opens_at, r.closes_at AS rule_closes_at
		FROM programme p LEFT JOIN programme_rule r ON r.programme_id = p.id
		WHERE p.id IN (SELECT id FROM wanted) ORDER BY p.id, r.position`, args...)
	if err != nil {
		return nil, fmt.Errorf("read programmes: %w", err)
	}
	for _, r := range rows {
		p := found[r.ID]
		if p == nil {
			loc := z.location(r.Zone)
			p = &programme{id: r.ID, zone: r.Zone, loc: loc, opensAt: r.Opens.In(loc), closesAt: r.Closes.In(loc)}
			found[r.ID] = p
		}
		if r.Rule != nil {
			p.rules = append(p.rules, Rule{ID: *r.Rule, BornFrom: *r.BornFrom, BornTo: *r.BornTo,
				OpensAt: r.RuleOpen.In(p.loc), ClosesAt: r.RuleShut.In(p.loc)})
		}
	}
	return found, nil
}
