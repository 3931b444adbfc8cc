package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ansim/schema/sqldb"
)

// ErrProvider is wrapped when the provider's list could not be read to its end: then nothing is known. The message holds
// neither a URL nor anything of the answer but its status.
var ErrProvider = errors.New("the provider's list could not be read")

// Provider is an account whose list of texts is compared. The account's list holds the texts of whoever uses the account:
// those of another sender than From are left out.
type Provider struct {
	AccountSID string // TWILIO_ACCOUNT_SID
	AuthToken  string // TWILIO_AUTH_TOKEN
	From       string // ANSIM_TWILIO_FROM: a number or an MG… service; "" takes every text of the account for ours
	BaseURL    string // default https://api.twilio.com
	// Since is how far back the list is read. Default 24 h, or as far as our oldest attempt when that is nearer.
	Since time.Duration

	pause func(context.Context, time.Duration) error // for tests
}

const (
	twilioURL = "https://api.twilio.com"
	// listPage is how many texts a page holds; Twilio gives 1,000 at most.
	listPage = 1000
	// pageTime bounds one request, and pageBytes its answer.
	pageTime  = 30 * time.Second
	pageBytes = 32 << 20
	// pageTries is how often a page is asked for: Twilio refuses with 429 who asks too much at once.
	pageTries = 5
	// longestPause bounds what it may make us wait before the next try.
	longestPause  = 30 * time.Second
	defaultWindow = 24 * time.Hour
)

// since is where the list has to begin.
func (p *Provider) since(now time.Time, oldest *sqldb.Time) time.Time {
	if p.Since > 0 {
		return now.Add(-p.Since)
	}
	since := now.Add(-defaultWindow)
	if oldest == nil {
		return since
	}
	if first := oldest.Add(-edge); first.After(since) {
		return first
	}
	return since
}

// listedText is what we read of an entry of the list.
type listedText struct {
	SID       string  `json:"sid"`
	To        string  `json:"to"`
	From      *string `json:"from"`
	Service   *string `json:"messaging_service_sid"`
	Body      string  `json:"body"`
	Direction string  `json:"direction"`
	Created   string  `json:"date_created"` // RFC 2822
}

type listedPage struct {
	Messages []listedText `json:"messages"`
	Next     *string      `json:"next_page_uri"`
}

// read reads the list back to since. It filters by nothing in the request: Twilio's one date filter is on the date of sending,
// and hides what is still queued.
func (p *Provider) read(ctx context.Context, since time.Time) (account, error) {
	a := account{name: "provider", who: "the provider", texts: newSorter(), since: since, key: newHasher()}
	client := &http.Client{Timeout: pageTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	query, before := "PageSize="+strconv.Itoa(listPage), ""
	for {
		page, err := p.page(ctx, client, query)
		if err != nil {
			return a, err
		}
		older := 0
		for _, t := range page.Messages {
			created, err := time.Parse(time.RFC1123Z, t.Created)
			if err != nil || t.SID == "" {
				return a, fmt.Errorf("%w: an entry has no id or no date", ErrProvider)
			}
			if created.Before(since) {
				older++
				continue
			}
			if !p.sent(t) {
				continue
			}
			if err := a.texts.add(a.key.taken(t.SID, "", t.To, t.Body, created)); err != nil {
				return a, err
			}
		}
		// A whole page of older ones, since entries that were made at the same time may stand in any order.
		if page.Next == nil || *page.Next == "" || older == len(page.Messages) {
			return a, nil
		}
		if before, query = query, p.next(*page.Next); query == "" || query == before {
			return a, fmt.Errorf("%w: its next page is not one of the list", ErrProvider)
		}
	}
}

// sent says that a text is one that we, or who uses our sender, sent.
func (p *Provider) sent(t listedText) bool {
	if strings.HasPrefix(t.Direction, "inbound") {
		return false
	}
	is := func(s *string) bool { return s != nil && *s == p.From }
	return p.From == "" || is(t.From) || is(t.Service)
}

func (p *Provider) path() string {
	return "/2010-04-01/Accounts/" + url.PathEscape(p.AccountSID) + "/Messages.json"
}

// next is the query of the next page, "" when its URI is not of our list: nothing else of it is followed.
func (p *Provider) next(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.EscapedPath() != p.path() {
		return ""
	}
	return u.RawQuery
}

// page asks for one page, again when that may help.
func (p *Provider) page(ctx context.Context, client *http.Client, query string) (page listedPage, err error) {
	wait := time.Second
	for try := 1; ; try++ {
		var again time.Duration
		page, again, err = p.once(ctx, client, query)
		if err == nil || again < 0 || try == pageTries {
			return page, err
		}
		if stop := p.sleep(ctx, min(max(wait, again), longestPause)); stop != nil {
			return page, err
		}
		wait *= 2
	}
}

// once makes one request. After an error, again is how long to wait at least before the next, negative when that is useless.
func (p *Provider) once(ctx context.Context, client *http.Client, query string) (page listedPage, again time.Duration, err error) {
	base := strings.TrimRight(cmp.Or(p.BaseURL, twilioURL), "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+p.path()+"?"+query, nil)
	if err != nil {
		return page, -1, fmt.Errorf("%w: ANSIM_TWILIO_BASE_URL is not a URL", ErrProvider)
	}
	req.SetBasicAuth(p.AccountSID, p.AuthToken)
	res, err := client.Do(req)
	if err != nil {
		return page, 0, fmt.Errorf("%w: %w", ErrProvider, withoutURL(err))
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return page, -1, fmt.Errorf("%w: status %d; check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN", ErrProvider, res.StatusCode)
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return page, time.Duration(max(0, min(seconds, 3600))) * time.Second, fmt.Errorf("%w: status %d", ErrProvider, res.StatusCode)
	case res.StatusCode != http.StatusOK:
		return page, -1, fmt.Errorf("%w: status %d", ErrProvider, res.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, pageBytes)).Decode(&page); err != nil || page.Messages == nil {
		return page, 0, fmt.Errorf("%w: the answer is not a list", ErrProvider)
	}
	return page, 0, nil
}

// withoutURL takes the URL out of an error of net/http.
func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

func (p *Provider) sleep(ctx context.Context, d time.Duration) error {
	if p.pause != nil {
		return p.pause(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
