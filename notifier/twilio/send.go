package twilio

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	twilioclient "github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"ansim/notifier"
)

// Twilio keeps a text for 1 to 36,000 s (error 90007; 14,400 until 2023). Four hours is the most that is useful here.
const (
	minValid = time.Second
	maxValid = 4 * time.Hour
)

// Send implements notifier.Provider. It sends one POST at most. The outcome is that of the evidence, whatever the library
// makes of it; a panic inside the library without such evidence is Unknown.
func (p *Provider) Send(ctx context.Context, t notifier.Text) (out notifier.Outcome) {
	rec := p.recorder(ctx)
	defer func() {
		panicked := recover() != nil
		out = classify(&rec.record, time.Now())
		if panicked && out.HTTPStatus == 0 {
			out = notifier.Outcome{Class: notifier.Unknown, Detail: "panic"}
		}
		if out.Class != notifier.Accepted {
			p.log.WarnContext(ctx, "text not accepted", "attempt", t.Token, "class", string(out.Class),
				"status", out.HTTPStatus, "code", out.Code, "detail", out.Detail)
		}
	}()
	params := new(api.CreateMessageParams).
		SetTo(t.To.Reveal()).
		SetBody(t.Body).
		SetStatusCallback(p.callback + t.Token).
		SetValidityPeriod(int(min(max(t.Valid, minValid), maxValid) / time.Second))
	if strings.HasPrefix(p.from, "MG") {
		params.SetMessagingServiceSid(p.from)
	} else {
		params.SetFrom(p.from)
	}
	// What the library returns is less than what rec has seen.
	_, _ = p.service(rec).CreateMessage(params)
	return notifier.Outcome{}
}

func (p *Provider) recorder(ctx context.Context) *recorder {
	return &recorder{ctx: ctx, base: p.base, next: p.transport}
}

// service is twilio-go for one call. The handler is made by hand, because its constructor reads the environment.
func (p *Provider) service(rec *recorder) *api.ApiService {
	c := &twilioclient.Client{
		Credentials: twilioclient.NewCredentials(p.account, p.secret),
		HTTPClient: &http.Client{
			Transport:     rec,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	c.SetAccountSid(p.account)
	return api.NewApiService(&twilioclient.RequestHandler{Client: c})
}

// answer is what we read of Twilio's JSON: a message's SID, or an error's code.
type answer struct {
	SID  string      `json:"sid"`
	Code json.Number `json:"code"`
}

// parseAnswer reads a whole answer; ok is false when it is not JSON of the expected form. code is 0 unless it is a number
// of the size that Twilio's have.
func parseAnswer(body []byte) (sid string, code int, ok bool) {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return "", 0, false
	}
	if sidForm.MatchString(a.SID) {
		sid = a.SID
	}
	// json.Number takes a quoted number, too, which Twilio does not send.
	if n, err := strconv.Atoi(a.Code.String()); err == nil && n >= 10_000 && n <= 999_999 {
		code = n
	}
	return sid, code, true
}

// classify says what a record proves; see the package comment.
func classify(r *record, now time.Time) notifier.Outcome {
	out := notifier.Outcome{Class: notifier.Unknown, HTTPStatus: r.status}
	if r.status == 0 {
		if !r.written {
			out.Class = notifier.NotSent
		}
		if out.Detail = word(r.err); out.Detail == "" {
			out.Detail = "not-written" // the library gave up before the transport was asked
		}
		return out
	}
	sid, code, readable := "", 0, false
	if r.bodyErr == nil {
		sid, code, readable = parseAnswer(r.body)
		out.Code = code
	}
	switch {
	case r.status == http.StatusTooManyRequests:
		out.Class, out.Throttled, out.Detail = notifier.NotSent, true, "throttled"
		out.RetryAfter = retryAfter(r.header.Get("Retry-After"), now)
	case r.bodyErr != nil:
		out.Detail = word(r.bodyErr)
	case r.status >= 500:
		out.Detail = "server-error"
	case r.status >= 400 && code != 0:
		out.Class, out.Detail = notifier.Rejected, "rejected"
		out.Disposition = disposition(r.status, code)
		_, listed := codes[code]
		out.Unlisted = !listed
	case r.status >= 400:
		out.Detail = "no-code"
	case r.status >= 300:
		out.Detail = "redirect"
	case !readable:
		out.Detail = "unreadable"
	case sid == "":
		out.Detail = "no-sid"
	case r.status == http.StatusCreated:
		out.Class, out.SID, out.Code = notifier.Accepted, sid, 0
	default:
		out.Detail = "not-created" // no 2xx but 201 is promised to mean it
	}
	return out
}

// longestRetryAfter bounds what an answer may ask for: a mistaken date must not silence the sender for a day.
const longestRetryAfter = 15 * time.Minute

// retryAfter reads the header's two forms, seconds or an HTTP date; 0 when it says nothing usable.
func retryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	d := time.Duration(0)
	if n, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(max(n, 0), int(longestRetryAfter/time.Second))) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), longestRetryAfter)
}
