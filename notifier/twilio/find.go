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
			return nil, err
		}
		older := 0
		for _, m := range list.Messages {
			s, err := sighting(m)
			if err != nil {
				return nil, err
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
			return nil, fmt.Errorf("%w: more than %d pages", ErrNotListed, maxPages)
		}
		if token, number, err = p.next(*list.NextPageUri); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(found, func(a, b notifier.Sighting) int { return b.Created.Compare(a.Created) })
	return found, nil
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
	switch {
	case rec.status == 0:
		return nil, fmt.Errorf("%w: %s", ErrNotListed, word(rec.err))
	case rec.bodyErr != nil:
		return nil, fmt.Errorf("%w: %s, status %d", ErrNotListed, word(rec.bodyErr), rec.status)
	case rec.status != http.StatusOK:
		return nil, fmt.Errorf("%w: status %d", ErrNotListed, rec.status)
	case err != nil || list == nil || list.Messages == nil: // an object without a list is no empty list
		return nil, fmt.Errorf("%w: unreadable", ErrNotListed)
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
	}
	return s, nil
}
