package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"ansim/schema/sqldb"
)

const (
	// atOnce is how many attempts are looked up in one statement.
	atOnce = 500
	// edge is how far the provider's clock and ours may be apart: what we began so shortly after the list begins need not
	// be in it.
	edge = 2 * time.Minute
	// depth is how far before the list's beginning the attempts of its first texts may have begun.
	depth = time.Hour
)

// comparison holds one account against the attempts.
type comparison struct {
	run        *run
	account    account
	i2, i6     Invariant
	i16        Invariant
	ours       int64   // accepted attempts
	strangers  *sorter // texts of which neither SID nor token is an attempt's, by body
	byMessage  *sorter // copies
	byWords    *sorter // copies, by number and body
	unresolved []record
}

func (r *run) compareTexts(ctx context.Context, a account) ([]Invariant, error) {
	c := comparison{run: r, account: a, strangers: newSorter(), byMessage: newSorter(), byWords: newSorter(),
		i2:  Invariant{ID: "I2-" + a.name, Sentence: a.who + " took no text twice, but for one whose answer was lost or that was not delivered"},
		i6:  Invariant{ID: "I6-" + a.name, Sentence: "each text that " + a.who + " took went to its reservation's number and says what its version says"},
		i16: Invariant{ID: "I16-" + a.name, Sentence: a.who + " took the texts that we count as accepted, and no other"},
	}
	merged := newSorter()
	for _, s := range []*sorter{merged, c.strangers, c.byMessage, c.byWords} {
		defer s.close()
	}
	// What is older than the texts that are kept cannot be judged.
	if r.textsFrom.After(epoch) && c.account.since.Before(r.textsFrom) {
		c.account.since = r.textsFrom
	}
	if err := a.texts.each(func(text record) error {
		if text.At < r.textsFrom.UnixMicro() {
			return nil
		}
		return merged.add(text)
	}); err != nil {
		return nil, err
	}
	where, args := c.window()
	err := r.attempts(ctx, a.key, "", ` WHERE a.provider_sid IS NOT NULL`+where, args, func(rec record, row attemptRow) error {
		rec.Key = sidKey(*row.SID)
		return merged.add(rec)
	})
	if err != nil {
		return nil, err
	}
	if err := merged.groups(func(g []record) error { return c.bySID(ctx, g) }); err != nil {
		return nil, err
	}
	if err := c.byToken(ctx); err != nil {
		return nil, err
	}
	if err := c.byBody(ctx); err != nil {
		return nil, err
	}
	if err := c.copies(); err != nil {
		return nil, err
	}
	c.i16.Notes = append(c.i16.Notes, fmt.Sprintf("%s took %d, we count %d as accepted", a.who, c.i16.Checked, c.ours))
	return []Invariant{c.i2, c.i6, c.i16}, nil
}

// window limits attempts to those whose texts can be in the account.
func (c *comparison) window() (where string, args []any) {
	if c.account.since.IsZero() {
		return "", nil
	}
	return ` AND a.started_at >= ?`, []any{sqldb.At(c.account.since.Add(-depth))}
}

// bySID judges what has one SID.
func (c *comparison) bySID(ctx context.Context, g []record) error {
	text, attempt := g[0], g[len(g)-1]
	if attempt.Side == ours && !c.early(attempt) {
		c.ours++
	}
	switch {
	case text.Side == ours:
		c.absent(attempt)
		return nil
	case attempt.Side == ours:
		c.i16.Checked++
		return c.match(text, attempt)
	}
	c.i16.Checked++
	if text.ID == (key{}) {
		text.ID, text.Key = text.Key, text.Body
		return c.strangers.add(text)
	}
	if c.unresolved = append(c.unresolved, text); len(c.unresolved) == atOnce {
		return c.byToken(ctx)
	}
	return nil
}

// early says that an attempt may be of a time that the account does not reach back to.
func (c *comparison) early(attempt record) bool {
	return !c.account.since.IsZero() && attempt.At < c.account.since.Add(edge).UnixMicro()
}

// absent judges an attempt that we count as accepted and whose SID is not in the account.
func (c *comparison) absent(attempt record) {
	switch {
	case c.early(attempt):
	case attempt.At >= c.run.began.Add(-c.account.lag).UnixMicro():
		c.i16.Open++ // it may have come after the account was read
	default:
		c.i16.wrong("accepted text that the provider does not know", showToken(attempt.ID))
	}
}

// byToken judges texts whose SID is no attempt's by the token that is in their callback's address.
func (c *comparison) byToken(ctx context.Context) error {
	if len(c.unresolved) == 0 {
		return nil
	}
	rows := sqldb.NewRows("line", sqldb.Column{Name: "line_token", Type: sqldb.Text})
	for _, text := range c.unresolved {
		rows.Add(showToken(text.ID))
	}
	src, args := c.run.tx.Source(rows)
	found := make(map[key]record, len(c.unresolved))
	known := map[key]bool{}
	err := c.run.attempts(ctx, c.account.key, "WITH "+src+" ", ` WHERE a.token IN (SELECT line_token FROM line)`, args,
		func(rec record, row attemptRow) error {
			found[rec.ID], known[rec.ID] = rec, row.SID != nil
			return nil
		})
	if err != nil {
		return err
	}
	for _, text := range c.unresolved {
		attempt, ok := found[text.ID]
		switch {
		case !ok:
			text.ID, text.Key = text.Key, text.Body
			err = c.strangers.add(text)
		case known[text.ID]:
			c.i16.wrong("second text of one attempt", showSID(text.Key))
			err = c.match(text, attempt)
		default:
			err = c.unanswered(text, attempt)
		}
		if err != nil {
			return err
		}
	}
	c.unresolved = c.unresolved[:0]
	return nil
}

// byBody judges texts of which neither SID nor token is known: one may be of an attempt whose answer was lost.
func (c *comparison) byBody(ctx context.Context) error {
	if c.strangers.n == 0 {
		return nil
	}
	where, args := c.window()
	err := c.run.attempts(ctx, c.account.key, "", ` WHERE a.provider_sid IS NULL`+where, args, func(rec record, _ attemptRow) error {
		rec.Key = rec.Body
		return c.strangers.add(rec)
	})
	if err != nil {
		return err
	}
	return c.strangers.groups(func(g []record) error {
		n := slices.IndexFunc(g, func(r record) bool { return r.Side == ours })
		if n < 0 {
			n = len(g)
		}
		texts, attempts := g[:n], slices.Clone(g[n:])
		// Those that we know not to know come first.
		slices.SortStableFunc(attempts, func(a, b record) int { return int(a.State) - int(b.State) })
		for i, text := range texts {
			text.Key = text.ID
			if i < len(attempts) {
				if err := c.unanswered(text, attempts[i]); err != nil {
					return err
				}
				continue
			}
			c.i16.wrong("text without an attempt", showSID(text.Key))
			if err := c.byWords.add(record{Key: words(text), Body: text.Key}); err != nil {
				return err
			}
		}
		return nil
	})
}

// unanswered judges a text of an attempt that has no SID.
func (c *comparison) unanswered(text, attempt record) error {
	switch {
	case attempt.State > rankUnknown:
		c.i16.wrong("text that we count as "+strings.ReplaceAll(ranks[attempt.State], "_", " "), showSID(text.Key))
	case attempt.Flags&moving != 0:
		c.i16.Open++
	}
	// Else we know that we do not know: a person decides, or another copy stands for it.
	return c.match(text, attempt)
}

// match compares what a text says with what its attempt should have said, and counts it as a copy.
func (c *comparison) match(text, attempt record) error {
	c.i6.Checked++
	for _, is := range []struct {
		wrong   bool
		finding string
	}{
		{text.Body != attempt.Body, "text that says something else than its attempt"},
		{attempt.To != 0 && text.To != attempt.To, "text that went to another number"},
		{attempt.Code != 0 && text.Code != attempt.Code, "text without its reservation's code"},
		{attempt.Words != 0 && text.Words&attempt.Words == 0, "text without the word for its kind"},
		{attempt.Flags&dated != 0 && text.When != attempt.When, "text that tells another time"},
	} {
		if is.wrong {
			c.i6.wrong(is.finding, showSID(text.Key))
		}
	}
	copied := record{Key: attempt.Owner, ID: attempt.ID, Owner: attempt.Owner, Flags: attempt.Flags, Body: text.Key, At: text.At}
	if err := c.byMessage.add(copied); err != nil {
		return err
	}
	copied.Key = words(text)
	return c.byWords.add(copied)
}

// words is what makes a person say that they got a text twice: the number and the body.
func words(text record) (k key) {
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], text.To)
	copy(b[8:], text.Body[:])
	return bodyKey(sha256.Sum256(b[:]))
}

// copies counts what the provider took twice: first the copies of each message, then what was the same to the person who got
// it. There each message (each version, and each request to send again) is worth one copy.
func (c *comparison) copies() error {
	c.i2.Checked = c.i6.Checked
	err := c.byMessage.groups(func(g []record) error {
		for range excess(g) {
			c.i2.wrong("text that was taken twice", showID(g[0].Owner))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.byWords.groups(func(g []record) error {
		if len(g) == 1 {
			return nil
		}
		byOwner := map[key][]record{}
		for _, r := range g {
			byOwner[r.Owner] = append(byOwner[r.Owner], r)
		}
		strangers := len(byOwner[key{}])
		if strangers == len(g) {
			strangers-- // the first of them is none's copy
		}
		for range strangers {
			c.i2.wrong("words that one number got again", showSID(g[0].Body))
		}
		return nil
	})
}

// excess is how many of a message's copies nothing explains: all but one and those of attempts that another had a reason to
// follow.
func excess(g []record) int {
	if len(g) == 1 {
		return 0
	}
	explained := map[key]bool{}
	for _, r := range g {
		if r.Flags&lost != 0 {
			explained[r.ID] = true
		}
	}
	return max(0, len(g)-1-len(explained))
}
