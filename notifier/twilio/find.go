package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"ansim/notifier"
	"ansim/schema/personal"
)

var (
	// ErrNotListed is what Find's errors wrap: the list was not read to its end.
	ErrNotListed = errors.New("the provider's list could not be read")
	// ErrNotFetched is what Fetch's errors wrap, besides notifier.ErrNoSuchText: nothing is known of the text.
	ErrNotFetched = errors.New("the provider's text could not be read")
)

// What Find reads at most: 1,000 texts.
const (
	pageSize = 50
	maxPages = 20
)

// Find implements notifier.Provider. It lists by To alone: the one date filter, DateSent, hides texts that are still queued.
// Errors wrap ErrNotListed and carry a word and a status, never the URL, which has the number in it. Beside an error it
// returns the texts of the pages that were whole.
//
// What time the provider has, each page's Date header says, which RFC 9110 (6.6.1) has an origin server with a clock send.
func (p *Provider) Find(ctx context.Context, to personal.Phone, since, now time.Time) ([]notifier.Sighting, error) {
	asked := time.Now()
	var found []notifier.Sighting
	seen := map[string]bool{} // pages shift while texts arrive, so one may be on two of them
	place := url.Values{}
	for n := 1; ; n++ {
		texts, date, next, err := p.page(ctx, to, place)
		if err != nil {
			return newestFirst(found), err
		}
		correct(texts, date, now.Add(time.Since(asked)))
		older, before := 0, len(seen)
		for _, s := range texts {
			if s.Created.Before(since) {
				older++
			} else if !seen[s.SID] {
				found = append(found, s)
			}
			seen[s.SID] = true
		}
		switch {
		// A whole page of older ones, since the order is promised by day of sending rather than by creation.
		case next == "", len(texts) > 0 && older == len(texts):
			return newestFirst(found), nil
		case len(seen) == before:
			return newestFirst(found), fmt.Errorf("%w: it does not advance", ErrNotListed)
		case n == maxPages:
			return newestFirst(found), fmt.Errorf("%w: more than %d pages", ErrNotListed, maxPages)
		}
		if place, err = p.place(next); err != nil {
			return newestFirst(found), err
		}
	}
}

func newestFirst(found []notifier.Sighting) []notifier.Sighting {
	slices.SortStableFunc(found, func(a, b notifier.Sighting) int { return b.Created.Compare(a.Created) })
	return found
}

// apart is how much two clocks may differ and be called the same: the header has whole seconds, and comes from up to as far away
// as an answer may take.
const apart = 10 * time.Second

// correct gives the times of texts, which are of a clock that said date when ours said now, by our clock. A date that is earlier
// than what was there by then is not of that clock: something on the way has kept the answer, or has a clock of its own.
func correct(texts []notifier.Sighting, date, now time.Time) {
	ahead := date.Sub(now)
	if date.IsZero() || ahead.Abs() < apart || slices.ContainsFunc(texts, func(s notifier.Sighting) bool { return s.Created.After(date.Add(apart)) }) {
		return
	}
	for i := range texts {
		texts[i].Created = texts[i].Created.Add(-ahead)
	}
}

// page asks for one page of the list; date is what the provider's clock said, zero when it did not say.
func (p *Provider) page(ctx context.Context, to personal.Phone, place url.Values) (texts []notifier.Sighting, date time.Time, next string, err error) {
	rec := p.recorder(ctx, maxList)
	params := new(api.ListMessageParams).SetTo(to.Reveal()).SetPageSize(pageSize)
	err = rec.ask(ErrNotListed, func(s *api.ApiService) { _, _ = s.PageMessage(params, place.Get("PageToken"), place.Get("Page")) })
	if err != nil {
		return nil, date, "", err
	}
	if texts, next, err = parsePage(rec.body, to.Reveal()); err != nil {
		return nil, date, "", fmt.Errorf("%w: unreadable", ErrNotListed) // the parser's words may be the answer's
	}
	date, _ = http.ParseTime(rec.record.header.Get("Date"))
	return texts, date, next, nil
}

// place takes the place of the next page out of its URI. The request is then built anew, on our own base URL and for our own
// number: nothing of the answer is followed.
func (p *Provider) place(uri string) (url.Values, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Path != "/2010-04-01/Accounts/"+p.account+"/Messages.json" {
		return nil, fmt.Errorf("%w: foreign next page", ErrNotListed)
	}
	q := u.Query()
	if q.Get("PageToken") == "" && q.Get("Page") == "" {
		return nil, fmt.Errorf("%w: no next page", ErrNotListed)
	}
	return q, nil
}

// Fetch implements notifier.Provider. Its errors are built like Find's, and wrap ErrNotFetched or notifier.ErrNoSuchText.
func (p *Provider) Fetch(ctx context.Context, sid string) (notifier.Sighting, error) {
	if !isTextSID(sid) { // it becomes a part of the path
		return notifier.Sighting{}, fmt.Errorf("%w: malformed SID", ErrNotFetched)
	}
	rec := p.recorder(ctx, maxText)
	err := rec.ask(ErrNotFetched, func(s *api.ApiService) { _, _ = s.FetchMessage(sid, nil) })
	if rec.status == http.StatusNotFound && rec.bodyErr == nil {
		// A 404 of something on the way says nothing.
		if a, _ := parseAnswer(rec.body); a.Code.value == codeNotFound {
			return notifier.Sighting{}, notifier.ErrNoSuchText
		}
	}
	if err != nil {
		return notifier.Sighting{}, err
	}
	text, err := parseText(rec.body)
	switch {
	case err != nil:
		return notifier.Sighting{}, fmt.Errorf("%w: unreadable", ErrNotFetched)
	case text.SID != sid:
		return notifier.Sighting{}, fmt.Errorf("%w: another text", ErrNotFetched)
	}
	return text, nil
}

// codeNotFound is Twilio's for a resource that it does not have. https://www.twilio.com/docs/api/errors/20404
const codeNotFound = 20404

// ask makes one request through the library, and says, wrapped in kind, why there is no whole answer of 200 to it.
func (r *recorder) ask(kind error, call func(*api.ApiService)) (err error) {
	defer func() {
		if recover() != nil { // the value may hold anything
			err = fmt.Errorf("%w: panic", kind)
		}
	}()
	call(r.service())
	switch {
	case r.status == 0 && r.err == nil:
		return fmt.Errorf("%w: not-written", kind) // the library gave up before we were asked
	case r.status == 0:
		return fmt.Errorf("%w: %s", kind, word(r.err))
	case r.bodyErr != nil:
		return fmt.Errorf("%w: %s, status %d", kind, word(r.bodyErr), r.status)
	case r.status != http.StatusOK:
		return fmt.Errorf("%w: status %d", kind, r.status)
	}
	return nil
}
