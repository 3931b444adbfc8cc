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

// ErrNotListed is what Find's errors wrap: the list could not be read to its end, so nothing is known.
var ErrNotListed = errors.New("the provider's list could not be read")

const (
	pageSize = 50
	maxPages = 20
)

// Find implements notifier.Provider. It lists by To alone: the one date filter, DateSent, hides texts that are still queued.
// Errors wrap ErrNotListed and carry a word and a status, never the URL, which has the number in it.
func (p *Provider) Find(ctx context.Context, to personal.Phone, since time.Time) ([]notifier.Sighting, error) {
	var found []notifier.Sighting
	token, number := "", ""
	for page := 1; ; page++ {
		list, err := p.page(ctx, to, token, number)
		if err != nil {
			return found, err
		}
		older := 0
		for _, m := range list.Messages {
			s, err := sighting(m)
			if err != nil {
				return found, err
			}
			if s.Created.Before(since) {
				older++
				continue
			}
			found = append(found, s)
		}
		// A whole page of older ones, since the order is promised by day of sending rather than by creation.
		if list.NextPageUri == nil || *list.NextPageUri == "" || older == len(list.Messages) {
			break
		}
		if page == maxPages {
			return found, fmt.Errorf("%w: more than %d pages", ErrNotListed, maxPages)
		}
		if token, number, err = p.next(*list.NextPageUri); err != nil {
			return found, err
		}
	}
	slices.SortStableFunc(found, func(a, b notifier.Sighting) int { return b.Created.Compare(a.Created) })
	return found, nil
}

// Fetch implements notifier.Provider. Its errors are built like Find's.
func (p *Provider) Fetch(ctx context.Context, sid string) (s notifier.Sighting, err error) {
	rec := p.recorder(ctx)
	defer func() {
		if recover() != nil {
			s, err = notifier.Sighting{}, fmt.Errorf("%w: panic", ErrNotListed)
		}
	}()
	message, err := p.service(rec).FetchMessage(sid, new(api.FetchMessageParams))
	if rec.status == http.StatusNotFound && rec.bodyErr == nil {
		if _, code, _ := parseAnswer(rec.body); code == codeNotFound {
			return s, notifier.ErrNoSuchText
		}
	}
	if err := rec.readable(err, message != nil); err != nil {
		return s, err
	}
	if s, err = sighting(*message); err == nil && s.SID != sid {
		return notifier.Sighting{}, fmt.Errorf("%w: another text", ErrNotListed)
	}
	return s, err
}

// codeNotFound is Twilio's for a resource that it does not have. https://www.twilio.com/docs/api/errors/20404
const codeNotFound = 20404

// readable says why what was asked for is not known: there is no answer, none to the end, none that says 200, or none that
// the library could read.
func (r *record) readable(err error, there bool) error {
	switch {
	case r.status == 0:
		return fmt.Errorf("%w: %s", ErrNotListed, word(r.err))
	case r.bodyErr != nil:
		return fmt.Errorf("%w: %s, status %d", ErrNotListed, word(r.bodyErr), r.status)
	case r.status != http.StatusOK:
		return fmt.Errorf("%w: status %d", ErrNotListed, r.status)
	case err != nil || !there:
		return fmt.Errorf("%w: unreadable", ErrNotListed)
	}
	return nil
}

func (p *Provider) page(ctx context.Context, to personal.Phone, token, number string) (list *api.ListMessageResponse, err error) {
	rec := p.recorder(ctx)
	defer func() {
		if recover() != nil {
			list, err = nil, fmt.Errorf("%w: panic", ErrNotListed)
		}
	}()
	params := new(api.ListMessageParams).SetTo(to.Reveal()).SetPageSize(pageSize)
	list, err = p.service(rec).PageMessage(params, token, number)
	// An object without a list is no empty list.
	if err := rec.readable(err, list != nil && list.Messages != nil); err != nil {
		return nil, err
	}
	return list, nil
}

// next takes the place of the next page out of its URI. The request is then built anew, on our own base URL and for our own
// number: nothing of the answer is followed.
func (p *Provider) next(uri string) (token, number string, err error) {
	u, err := url.Parse(uri)
	if err != nil || u.Path != "/2010-04-01/Accounts/"+p.account+"/Messages.json" {
		return "", "", fmt.Errorf("%w: foreign next page", ErrNotListed)
	}
	q := u.Query()
	token, number = q.Get("PageToken"), q.Get("Page")
	if token == "" && number == "" {
		return "", "", fmt.Errorf("%w: no next page", ErrNotListed)
	}
	return token, number, nil
}

func sighting(m api.ApiV2010Message) (notifier.Sighting, error) {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	created, err := time.Parse(time.RFC1123Z, text(m.DateCreated))
	if err != nil || !sidForm.MatchString(text(m.Sid)) {
		return notifier.Sighting{}, fmt.Errorf("%w: unreadable entry", ErrNotListed)
	}
	s := notifier.Sighting{SID: *m.Sid, Body: text(m.Body), Status: text(m.Status), Created: created.UTC()}
	if m.ErrorCode != nil {
		s.ErrorCode = *m.ErrorCode
		s.Disposition = ending(s.ErrorCode)
	}
	return s, nil
}
