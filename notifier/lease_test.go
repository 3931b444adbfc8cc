package notifier

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/schema/sqldb"
	"ansim/test/dbtest"
)

// TestAnAttemptWhoseProcessDiedIsLookedUpNotRepeated: the attempt is committed, the process is gone; whether the request was
// written, nobody knows.
func TestAnAttemptWhoseProcessDiedIsLookedUpNotRepeated(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		r := b.begin(t, 1)[0]
		b.round(t)
		if m := b.state(t); m.State != Sending {
			t.Fatalf("before the lease ends: %s", m.State)
		}
		b.clock.Add(time.Minute + time.Second)
		b.round(t)
		if m := b.state(t); m.State != StateUnknown || m.log[0].State != AttemptUnknown {
			t.Fatalf("after the lease: %s, attempt %s", m.State, m.log[0].State)
		}
		b.begin(t, 0) // an unknown text is not sent
		b.provider.list = []Sighting{{SID: "SM1", Body: r.text.Body, Status: "delivered", Created: noon}}
		b.clock.Add(5 * time.Second)
		b.round(t)
		if m := b.state(t); m.State != StateDelivered || m.Attempts != 1 {
			t.Errorf("the list shows it: %s after %d attempts", m.State, m.Attempts)
		}
	})
}

// TestAResumedProcessBringsEvidenceLate: it was frozen past its lease, between the commit of its attempt and its request.
func TestAResumedProcessBringsEvidenceLate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    Outcome
		want State
	}{
		"a late 201":                  {Outcome{Class: Accepted, SID: "SM1"}, StateAccepted},
		"it had not written":          {Outcome{Class: NotSent, Detail: "too-late"}, Pending},
		"it does not know either":     {Outcome{Class: Unknown, Detail: "timeout"}, StateUnknown},
		"it was rejected for ever":    {Outcome{Class: Rejected, Disposition: Permanent, Code: 21211}, StateFailed},
		"it was throttled, not taken": {Outcome{Class: NotSent, Throttled: true}, Pending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachBench(t, func(t *testing.T, b *bench) {
				r := b.begin(t, 1)[0]
				b.clock.Add(time.Minute + time.Second)
				b.round(t)
				b.sender.record(t.Context(), r, c.o)
				if m := b.state(t); m.State != c.want {
					t.Errorf("got %s, want %s", m.State, c.want)
				}
			})
		})
	}
}

// TestAProcessThatIsTooLateDoesNotWrite: its own clock says that the deadline has passed.
func TestAProcessThatIsTooLateDoesNotWrite(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		r := b.begin(t, 1)[0]
		b.provider.outcome = Outcome{Class: Accepted, SID: "SM1"}
		b.fly(t, r, time.Now().Add(-b.sender.policy.Deadline))
		if m := b.state(t); m.State != Pending || m.log[0].State != AttemptNotSent || m.log[0].Detail != "too-late" {
			t.Errorf("got %s, attempt %+v", m.State, m.log[0])
		}
	})
}

// TestAnOlderCopyDoesNotProveANewerAttempt: the list shows one text; it is the first attempt's, and the second stays unknown.
func TestAnOlderCopyDoesNotProveANewerAttempt(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		first := b.begin(t, 1)[0]
		b.sender.record(t.Context(), first, Outcome{Class: Unknown})
		b.missAll(t)
		second := b.begin(t, 1)[0]
		if sha256.Sum256([]byte(first.text.Body)) != sha256.Sum256([]byte(second.text.Body)) {
			t.Fatal("the second attempt says something else")
		}
		b.sender.record(t.Context(), second, Outcome{Class: Unknown})
		b.provider.list = []Sighting{{SID: "SM1", Body: first.text.Body, Status: "sent", Created: noon}}
		b.clock.Add(5 * time.Second)
		b.round(t)
		m := b.state(t)
		if m.log[0].State != AttemptSent || m.log[1].State != AttemptUnknown || m.State != StateSent {
			t.Errorf("message %s, attempts %s and %s; want the first sent, the second unknown", m.State, m.log[0].State, m.log[1].State)
		}
	})
}

// TestAnOlderAttemptTakesNoNewerText: the first attempt never reached the provider, and was looked for in vain; the text that
// the list shows now is the second's, whose answer was lost as well.
func TestAnOlderAttemptTakesNoNewerText(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		first := b.begin(t, 1)[0]
		b.sender.record(t.Context(), first, Outcome{Class: Unknown})
		b.missAll(t)
		second := b.begin(t, 1)[0]
		b.sender.record(t.Context(), second, Outcome{Class: Unknown})
		b.provider.list = []Sighting{{SID: "SM1", Body: second.text.Body, Status: "sent", Created: b.clock.Now().Add(time.Second)}}
		b.clock.Add(5 * time.Second)
		b.round(t)
		m := b.state(t)
		if m.log[0].State != AttemptUnknown || m.log[1].State != AttemptSent || m.State != StateSent {
			t.Errorf("message %s, attempts %s and %s; want the first unknown, the second sent", m.State, m.log[0].State, m.log[1].State)
		}
	})
}

// A receipt that tells nothing new is stored without the message: it comes through also while somebody holds that.
func TestAReceiptOfWhatIsKnownWaitsForNobody(t *testing.T) {
	t.Parallel()
	c := dbtest.NewClock(noon)
	b := newBench(t, dbtest.Postgres(t, sqldb.Options{Now: c.Now}), c, Policy{})
	b.reservation = b.booked(t, 0)
	r := b.begin(t, 1)[0]
	b.sender.record(t.Context(), r, Outcome{Class: Accepted, SID: "SM1"})
	before := b.state(t)
	receive := func(ctx context.Context, status string) error {
		return b.sender.recorder.Receive(ctx, Receipt{Token: r.text.Token, SID: "SM1", Status: status})
	}
	err := b.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := load(ctx, tx, []string{before.ID}); err != nil {
			return err
		}
		return receive(ctx, "queued")
	})
	if err != nil {
		t.Fatal(err)
	}
	var stored []string
	if err := b.db.Pool().Select(&stored, `SELECT status FROM receipt`); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"queued"}, stored); diff != "" {
		t.Error(diff)
	}
	if m := b.state(t); m.State != StateAccepted {
		t.Errorf("state %s", m.State)
	}
	if err := receive(t.Context(), "delivered"); err != nil {
		t.Fatal(err)
	}
	if m := b.state(t); m.State != StateDelivered {
		t.Errorf("state %s", m.State)
	}
}

func TestAReceiptForAnotherAttemptsTextIsRefused(t *testing.T) {
	t.Parallel()
	eachBench(t, func(t *testing.T, b *bench) {
		r := b.begin(t, 1)[0]
		b.sender.record(t.Context(), r, Outcome{Class: Accepted, SID: "SM1"})
		for _, c := range []struct {
			rc   Receipt
			want error
		}{
			{Receipt{Token: newToken(), SID: "SM1", Status: "delivered"}, ErrUnknownAttempt},
			{Receipt{Token: r.text.Token, SID: "SM2", Status: "delivered"}, ErrForeign},
		} {
			if err := b.sender.recorder.Receive(t.Context(), c.rc); err != c.want {
				t.Errorf("got %v, want %v", err, c.want)
			}
		}
		if m := b.state(t); m.State != StateAccepted {
			t.Errorf("state %s", m.State)
		}
	})
}
