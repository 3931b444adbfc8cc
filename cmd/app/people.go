package app

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"ansim/booking/api"
	"ansim/notifier"
	"ansim/notifier/console"
	"ansim/notifier/console/bulk"
	"ansim/notifier/resident"
	"ansim/outbox"
	"ansim/schema/event"
)

// residentPages are the pages on which residents find out whether they are booked. They have a part of the readers' pool of
// their own, so that a flood of API calls does not keep people from theirs.
func (a *App) residentPages() http.Handler {
	pages := resident.New(resident.Options{
		Service: a.service,
		Texts: func(ctx context.Context, id string) ([]notifier.TextStatus, error) {
			found, err := notifier.Texts(ctx, a.db, []string{id})
			return slices.DeleteFunc(found[id], func(s notifier.TextStatus) bool { return s.Recipient == event.Former }), err
		},
		Explain: explain,
		Late:    (&lateness{app: a}).now,
		Network: func(r *http.Request) string { return api.Network(r, a.cfg.TrustedProxies) },
		Reads:   a.db.Readers() / 4,
		Log:     a.log,
	})
	a.onStop("resident's pages", func(context.Context) error { pages.Stop(); return nil })
	return pages
}

// consolePages are the pages of the staff who answer residents.
func (a *App) consolePages() (http.Handler, error) {
	c, err := console.New(console.Options{
		DB: a.db, Service: a.service, Desk: &bulk.Desk{DB: a.db, Parked: Parked(a.db), Look: LookAtTexts},
		Waiting: func(ctx context.Context) (notifier.Backlog, error) { return notifier.Waiting(ctx, a.db) },
		Explain: explain,
		Network: func(r *http.Request) string { return api.Network(r, a.cfg.TrustedProxies) },
		Secure:  strings.HasPrefix(a.public, "https://"),
		Demo:    a.cfg.DemoStaff,
		Reads:   a.db.Readers() / 4,
		Log:     a.log,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx)
	}()
	a.onStop("console", func(context.Context) error { cancel(); <-ended; return nil })
	return c, nil
}

// latenessAge is how old the answer to how late texts are may be.
const latenessAge = 5 * time.Second

// lateness is how late texts are, measured once in a while however many people ask.
type lateness struct {
	app   *App
	mu    sync.Mutex
	at    time.Time
	late  time.Duration
	going bool
}

// now is how late texts are by what waits: the age of the oldest that waits, or the time that it takes to send all of them,
// whichever is more; and whether any go out. When it cannot be told, what was known last counts.
func (l *lateness) now(ctx context.Context) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.at.IsZero() && time.Since(l.at) < latenessAge {
		return l.late, l.going
	}
	late, going, err := l.measure(ctx)
	if err != nil {
		if l.at.IsZero() {
			return 0, true
		}
		return l.late, l.going
	}
	l.at, l.late, l.going = time.Now(), late, going
	return late, going
}

func (l *lateness) measure(ctx context.Context) (time.Duration, bool, error) {
	waiting, err := notifier.Waiting(ctx, l.app.db)
	if err != nil {
		return 0, false, err
	}
	_, unpublished, err := outbox.Backlog(ctx, l.app.db)
	if err != nil {
		return 0, false, err
	}
	overdue, err := l.app.lookout.Overdue(ctx)
	if err != nil {
		return 0, false, err
	}
	late := time.Duration(0)
	for _, t := range []time.Time{waiting.Oldest, unpublished, overdue} {
		if !t.IsZero() {
			late = max(late, time.Since(t))
		}
	}
	drain, known := waiting.Drain()
	// Who has waited for longer than any pause of the sender's, while nothing is sent, waits for a sender that is not there.
	return max(late, drain), known || late < stalled, nil
}

// stalled is how long the oldest text must have waited, with none accepted meanwhile, before people are told that none go out.
const stalled = time.Minute
