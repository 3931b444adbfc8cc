package notifier

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"

	"ansim/notifier/text"
	"ansim/schema/sabotage"
	"ansim/schema/sqldb"
	"ansim/schema/tracing"
)

// hiccup is how long a request that certainly was not sent is tried again inside its slot.
const hiccup = 3 * time.Second

// lateDetail is the detail of a request that was not made because its deadline had passed.
const lateDetail = "too-late"

// errNotSent makes ask try again.
var errNotSent = errors.New("not sent")

// fly makes one request, in a slot of a round of the pacer's, and records what it showed. began is from before the attempt's transaction, so the deadline, by the
// process's monotonic clock, ends before the lease does by the database's.
func (s *sender) fly(hard context.Context, r request, round int, began time.Time) {
	ctx, cancel := context.WithDeadline(hard, began.Add(s.policy.Deadline))
	at := &slot{round: round, began: s.pace.now()}
	span := s.tracer.Follow(r.trace, "send text", tracing.Client, time.Now())
	aside := time.AfterFunc(s.policy.SlotTime, func() { s.pace.stepAside(at) })
	o := s.ask(ctx, r)
	cancel()
	sabotage.Point("sender.after_" + string(o.Class))
	aside.Stop()
	s.pace.done(at, o)
	s.count(r, o)
	tell(span, r, o)
	s.record(hard, r, o)
	sabotage.Point("sender.after_record")
}

// count tells the figures and the log what became of a request.
func (s *sender) count(r request, o Outcome) {
	s.metrics.requests.WithLabelValues(string(o.Class)).Inc()
	if o.Class == Rejected && o.Code != 0 {
		s.metrics.code(o)
	}
	switch {
	case o.Class == Accepted:
		s.meter.add(1)
		s.metrics.segments.Add(float64(r.segments))
	case o.Class == Rejected && o.Disposition == Configuration:
		s.log.Error("the provider refuses our account or settings; sending rests and tries one text at a time", "code", o.Code,
			"http_status", o.HTTPStatus, "pause", s.policy.ConfigurationPause, "do", "check the TWILIO_ settings and the account")
	default:
		s.log.Info("a text was not accepted", "message_id", r.messageID, "class", o.Class, "detail", o.Detail,
			"code", o.Code, "http_status", o.HTTPStatus)
	}
}

// tell says in the trace what became of a request.
func tell(span tracing.Span, r request, o Outcome) {
	span.Note("ansim.message_id", r.messageID)
	span.Note("ansim.outcome", string(o.Class))
	span.Count("http.response.status_code", o.HTTPStatus)
	if o.Code != 0 {
		span.Count("ansim.provider_code", o.Code)
	}
	if o.Class != Accepted {
		span.Fail(string(o.Class))
	}
	span.End()
}

// ask makes the request. One that certainly was not sent, because the network hiccuped, is made again for a few seconds.
func (s *sender) ask(ctx context.Context, r request) (o Outcome) {
	// Written after the last look, a request could outlive its lease; so the look is as late as it can be.
	if ctx.Err() != nil {
		return Outcome{Class: NotSent, Detail: lateDetail}
	}
	if o = s.send(ctx, r.text); o.Class != NotSent || o.Throttled {
		return o
	}
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(hiccup))
	again := backoff.WithContext(policy, ctx)
	pause(ctx, again.NextBackOff())
	_ = backoff.Retry(func() error {
		if ctx.Err() != nil {
			return backoff.Permanent(errNotSent)
		}
		if o = s.send(ctx, r.text); o.Class == NotSent && !o.Throttled {
			return errNotSent
		}
		return nil
	}, again)
	return o
}

// send shields the sender from a provider that panics: what happened to the text is then unknown.
func (s *sender) send(ctx context.Context, t Text) (o Outcome) {
	defer func() {
		if recover() != nil { // the value may hold anything
			s.log.Error("the provider's client panicked")
			o = Outcome{Class: Unknown, Detail: "panic"}
		}
	}()
	return s.provider.Send(ctx, t)
}

// record stores an outcome. While the database is away it keeps trying for as long as the lease may last; after that the
// attempt is unknown to everybody, and is looked up.
func (s *sender) record(hard context.Context, r request, o Outcome) {
	e := evidence{token: r.text.Token, message: r.messageID, outcome: &o}
	err := s.recorder.record(context.Background(), e)
	if err == nil {
		return
	}
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(s.policy.Lease))
	err = backoff.Retry(func() error {
		if errors.Is(err, ErrForeign) || errors.Is(err, ErrUnknownAttempt) || errors.Is(err, sqldb.ErrStopped) {
			return backoff.Permanent(err)
		}
		err = s.recorder.record(context.Background(), e)
		return err
	}, backoff.WithContext(policy, hard))
	if err != nil {
		s.log.Error("an outcome could not be recorded; it will be looked up", "message_id", r.messageID, "class", o.Class,
			"error", err)
	}
}

// guardedText renders, and takes a panic for what it is: a text that cannot be rendered.
func guardedText(render renderer, a Appointment, m *Message) (out text.Out, err error) {
	defer func() {
		if recover() != nil { // the value may hold anything
			err = errors.New("rendering panicked")
		}
	}()
	return render(a, m)
}
