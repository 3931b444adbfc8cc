package twilio

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

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
	rec := p.recorder(ctx, maxText)
	defer func() {
		panicked := recover() != nil
		out = classify(&rec.record, p.account, t.To.Reveal(), time.Now())
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
		SetStatusCallback(p.callback + t.Token + overrides).
		SetValidityPeriod(int(min(max(t.Valid, minValid), maxValid) / time.Second))
	if strings.HasPrefix(p.from, "MG") {
		params.SetMessagingServiceSid(p.from)
	} else {
		params.SetFrom(p.from)
	}
	_, _ = rec.service().CreateMessage(params) // what it showed is in rec
	return notifier.Outcome{}
}

// classify says what the record of a text to this number proves; see the package comment. The type that an answer claims to be
// of is not asked: its bytes prove it.
func classify(r *record, account, to string, now time.Time) notifier.Outcome {
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
	var a answer
	readable := false
	if r.bodyErr == nil {
		a, readable = parseAnswer(r.body)
		out.Code = int(a.Code.value)
	}
	switch {
	case r.status == http.StatusTooManyRequests:
		out.Class, out.Throttled, out.Detail = notifier.NotSent, true, "throttled"
		out.RetryAfter = retryAfter(r.header.Get("Retry-After"), now)
	case r.bodyErr != nil:
		out.Detail = word(r.bodyErr)
	case r.status >= 500:
		out.Detail = "server-error"
	case r.status >= 400 && out.Code != 0:
		out.Class, out.Detail = notifier.Rejected, "rejected"
		out.Disposition = disposition(r.status, out.Code)
		_, listed := codes[out.Code]
		out.Unlisted = !listed
	case r.status >= 400:
		out.Detail = "no-code"
	case r.status >= 300:
		out.Detail = "redirect"
	case !readable:
		out.Detail = "unreadable"
	case !isTextSID(a.SID.value):
		out.Detail = "no-sid"
	case r.status != http.StatusCreated:
		out.Detail = "not-created" // no 2xx but 201 is promised to mean it
	case a.of(account, to):
		out.Class, out.SID, out.Code = notifier.Accepted, a.SID.value, 0
	default:
		// It proves that a text was taken, but not that it was ours: something on the way gave us somebody's answer.
		out.Detail = "another-text"
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
