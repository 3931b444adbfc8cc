package notifier

import "time"

// Policy says how long the notifier waits, and how often it tries.
type Policy struct {
	// Slots is how many requests to the provider a process has under way at most; the pacer finds how many it takes. Default 512:
	// a provider that answers within 150 ms then takes 3,400 a second, and as many texts share a transaction. With 128, a third
	// fewer go out when their receipts come in at the same time.
	Slots int
	// Lease is how long an attempt may take, and a look, before another process steps in. Default 60 s.
	Lease time.Duration
	// Deadline ends a request; it is kept leaseMargin shorter than Lease. Default 30 s.
	Deadline time.Duration
	// SlotTime is how long a request holds its slot; one that takes longer goes on beside, as far as MaxBeside and the
	// pacer's trust allow, so that a few that hang do not stop the others. Default 1 s.
	SlotTime time.Duration
	// MaxBeside is how many requests without a slot there may be at most. Default 2,048.
	MaxBeside int
	// SegmentsPerSecond is how much all processes together hand to the provider; 0, the default, for no limit.
	SegmentsPerSecond float64
	// Looks are the moments, counted from when an outcome became unknown, at which the provider is asked for the text; the
	// last is the deadline. Default 5 s, 15 s, 60 s, 180 s.
	Looks []time.Duration
	// LooksPerSecond is how often all processes together ask the provider what became of texts, looks and polls. Default 100.
	LooksPerSecond float64
	// Polls are the moments, counted from the acceptance, at which the provider is asked for a receipt that did not come.
	// Default 5, 15 and 60 min. Unconfirmed is the last one, after which the message says so. Default 72 h.
	Polls       []time.Duration
	Unconfirmed time.Duration
	// Arrivals are the pauses before further attempts of a text that was taken and did not arrive. Default 5 min, 30 min and
	// 2 h: long enough for a phone to be switched on again, short enough to be of use on the same day.
	Arrivals []time.Duration
	// Further is how many attempts follow unknown ones at most, before a person decides. Default 3.
	Further int
	// GiveUp is how long look-ups may fail before a person is told. Default 25 min, inside the 30 min of invariant I8.
	GiveUp time.Duration
	// ConfigurationPause is how long the sender rests after the provider refused our account or settings. Default 30 s.
	ConfigurationPause time.Duration
	// FirstPause and LongestPause bound the pause after a text that was not sent; it doubles between them. Defaults 1 s and
	// 5 min.
	FirstPause, LongestPause time.Duration
	// SweepAfter is how long an outbox row may be without a message before the sweeper makes it. Default 30 s.
	SweepAfter time.Duration
	// SweepEvery is the time between sweeps. Default 5 s; negative: no sweeper.
	SweepEvery time.Duration
	// LookEvery is the time between rounds of the reconciler when nothing is due. Default 500 ms.
	LookEvery time.Duration
}

// leaseMargin is the time between the end of a request and the end of its lease, for recording what it showed.
const leaseMargin = 10 * time.Second

func (p Policy) withDefaults() Policy {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if p.Slots <= 0 {
		p.Slots = 512
	}
	if p.MaxBeside <= 0 {
		p.MaxBeside = 2048
	}
	if p.LooksPerSecond <= 0 {
		p.LooksPerSecond = 100
	}
	if len(p.Polls) == 0 {
		p.Polls = []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour}
	}
	if len(p.Arrivals) == 0 {
		p.Arrivals = []time.Duration{5 * time.Minute, 30 * time.Minute, 2 * time.Hour}
	}
	if p.Further <= 0 {
		p.Further = 3
	}
	if len(p.Looks) == 0 {
		p.Looks = []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 3 * time.Minute}
	}
	set(&p.Lease, time.Minute)
	set(&p.Deadline, 30*time.Second)
	set(&p.SlotTime, time.Second)
	set(&p.Unconfirmed, 72*time.Hour)
	set(&p.GiveUp, 25*time.Minute)
	set(&p.ConfigurationPause, 30*time.Second)
	set(&p.FirstPause, time.Second)
	set(&p.LongestPause, 5*time.Minute)
	set(&p.SweepAfter, 30*time.Second)
	set(&p.SweepEvery, 5*time.Second)
	set(&p.LookEvery, 500*time.Millisecond)
	p.Deadline = min(p.Deadline, max(p.Lease-leaseMargin, p.Lease/2))
	return p
}

// pause is how long to wait after n failures in a row: doubling, with half of it by chance, so that texts which failed
// together do not come back together.
func (p Policy) pause(n int) time.Duration {
	d := p.FirstPause
	for i := 1; i < n && d < p.LongestPause; i++ {
		d *= 2
	}
	return p.jitter(min(d, p.LongestPause))
}
