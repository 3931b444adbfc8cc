package notifier

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

// Resumption lets sending go on after it was frozen. Before the first text it finds out which of those that wait went out
// already: a database that was put back has forgotten attempts, and the provider's list has not.
type Resumption struct {
	DB        *sqldb.DB
	Directory Directory
	Provider  Provider // nil: the list is not asked, and what went out since may go out again
	Policy    Policy
	Log       *slog.Logger
	By        string // who says so
	DryRun    bool   // look, and change nothing
	// Noted writes down, in the transaction that lets sending go on, that it does.
	Noted func(context.Context, *sqldb.Tx, ResumeReport) error
	// Progress is told now and then how many texts were looked for.
	Progress func(ResumeReport)
}

// ResumeReport is what a resumption found.
type ResumeReport struct {
	Reason  string `json:"reason"`  // why it was frozen
	Waiting int64  `json:"waiting"` // texts that were to be sent
	Looked  int64  `json:"looked"`  // of them, those for which the list was asked
	Found   int64  `json:"found"`   // that had gone out: they are not sent again
	Swept   int64  `json:"swept"`   // changes that had no text yet
	Resumed bool   `json:"resumed"`
}

// resumePage is how many texts are looked for before the next are read.
const resumePage = 500

// Run looks, and lets sending go on. It may be interrupted and run again: what was found stays found. After an error sending
// is still frozen. ErrNotFrozen is returned when it runs.
func (r Resumption) Run(ctx context.Context) (report ResumeReport, err error) {
	r.Policy = r.Policy.withDefaults()
	s, err := ReadSending(ctx, r.DB)
	if err != nil {
		return report, err
	}
	if !s.Frozen {
		return report, ErrNotFrozen
	}
	report.Reason = s.Reason
	if !r.DryRun {
		if report.Swept, err = r.sweep(ctx); err != nil {
			return report, err
		}
	}
	if err := r.lookAll(ctx, s.Since, &report); err != nil {
		return report, err
	}
	if r.DryRun {
		return report, nil
	}
	err = r.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, `UPDATE sending SET state = 'running', asked_by = ?, changed_at = ?, world = `+tx.World()+` WHERE id = 1`,
			r.By, sqldb.At(now)); err != nil {
			return wrapped("let sending go on", err)
		}
		return r.Noted(ctx, tx, report)
	})
	report.Resumed = err == nil
	return report, err
}

// sweep makes the messages of changes that have none yet, so that they are looked for as well.
func (r Resumption) sweep(ctx context.Context) (n int64, err error) {
	now := r.Policy
	now.SweepAfter = 0
	sw := &sweeper{db: r.DB, policy: now, log: r.Log, wake: func() {}}
	for {
		rescued, more, err := sw.sweep(ctx, sweepPage, false)
		n += rescued
		switch {
		case errors.Is(err, errBusy): // a running sweeper has the position
			pause(ctx, 50*time.Millisecond)
		case err != nil:
			return n, err
		case !more:
			return n, nil
		}
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
	}
}

// lookAll asks the list for everything that is to be sent and is older than the freeze. What was booked since cannot have gone
// out.
func (r Resumption) lookAll(ctx context.Context, frozen time.Time, report *ResumeReport) error {
	ask := rate.NewLimiter(rate.Limit(r.Policy.LooksPerSecond), max(1, int(r.Policy.LooksPerSecond)))
	last := uuid.Nil.String()
	for {
		var page []*Message
		var by map[string]Appointment
		var read reading
		err := r.DB.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			page = nil
			now, err := tx.Now(ctx)
			if err != nil {
				return err
			}
			read = readAt(now)
			if err = tx.Select(ctx, &page, `SELECT `+messageColumns+` FROM message_queue q JOIN message m ON m.id = q.message_id
				WHERE q.job = 'send' AND m.state IN ('pending', 'undelivered') AND q.message_id > ? ORDER BY q.message_id LIMIT ?`,
				last, resumePage); err != nil || len(page) == 0 {
				return wrapped("read what waits", err)
			}
			ids := make([]string, 0, len(page))
			for _, m := range page {
				ids = append(ids, m.ReservationID)
			}
			by, err = r.Directory(ctx, tx, ids, false)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		last = page[len(page)-1].ID
		report.Waiting += int64(len(page))
		if r.Provider != nil {
			if err := r.lookFor(ctx, page, by, frozen, read, ask, report); err != nil {
				return err
			}
		}
		if r.Progress != nil {
			r.Progress(*report)
		}
	}
}

// waitingText is a text that is to be sent, and what it would say.
type waitingText struct {
	message *Message
	hash    [sha256.Size]byte
}

// sameNumber is all that waits for one number.
type sameNumber struct {
	To      personal.Phone
	waiting []waitingText
}

// lookFor asks the lists of the numbers of one page.
func (r Resumption) lookFor(ctx context.Context, page []*Message, by map[string]Appointment, frozen time.Time, read reading, ask *rate.Limiter,
	report *ResumeReport) error {
	groups := map[[sha256.Size]byte]*sameNumber{}
	for _, m := range page {
		a, ok := by[m.ReservationID]
		if !ok || m.EventAt.After(frozen) {
			continue
		}
		out, err := guardedText(Appointment.text, a, m)
		to := a.phone(m)
		if err != nil || to == "" {
			continue // it will be held or suppressed
		}
		key := sha256.Sum256([]byte(to.Reveal()))
		if groups[key] == nil {
			groups[key] = &sameNumber{To: to}
		}
		groups[key].waiting = append(groups[key].waiting, waitingText{m, sha256.Sum256([]byte(out.Body))})
	}
	var looked, found atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookers)
	for _, same := range groups {
		g.Go(func() error {
			if err := ask.Wait(ctx); err != nil {
				return err
			}
			n, err := r.lookForOne(ctx, same.To, same.waiting, read)
			looked.Add(int64(len(same.waiting)))
			found.Add(n)
			return err
		})
	}
	err := g.Wait()
	report.Looked += looked.Load()
	report.Found += found.Load()
	return err
}

// lookForOne asks one number's list, and gives each text that waits the copy that had gone out: the one of its words that was
// created nearest to its change, no earlier, and that no attempt has.
func (r Resumption) lookForOne(ctx context.Context, to personal.Phone, waiting []waitingText, read reading) (n int64, err error) {
	since := slices.MinFunc(waiting, func(a, b waitingText) int { return a.message.EventAt.Compare(b.message.EventAt.Time) }).message.EventAt
	list, cancel := context.WithTimeout(ctx, r.Policy.Deadline)
	defer cancel()
	listed, err := r.Provider.Find(list, to, since.Add(-listDepth), read.now())
	if err != nil {
		return 0, fmt.Errorf("ask the provider which texts went out; sending stays frozen: %w", err)
	}
	gone := map[string]bool{}
	for _, w := range waiting {
		var fits []Sighting
		for _, s := range listed {
			if sha256.Sum256([]byte(s.Body)) == w.hash && !s.Created.Before(w.message.EventAt.Add(-listSlack)) && KnownStatus(s.Status) && !gone[s.SID] {
				fits = append(fits, s)
			}
		}
		slices.SortFunc(fits, func(a, b Sighting) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.SID, b.SID)) })
		for _, s := range fits {
			gone[s.SID] = true
			adopted, err := r.adopt(ctx, w, s)
			if err != nil {
				return n, err
			}
			if adopted {
				n++
				break
			}
		}
	}
	return n, nil
}

// adopt makes a text that the provider has an attempt of the message: the one that this database had forgotten. false when it
// is another attempt's, or the message does not wait any more.
func (r Resumption) adopt(ctx context.Context, w waitingText, s Sighting) (adopted bool, err error) {
	err = r.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		adopted = false
		owner, _, err := owners(ctx, tx, nil, []string{s.SID})
		if err != nil || owner[s.SID] != "" {
			return err
		}
		ms, err := load(ctx, tx, []string{w.message.ID})
		if err != nil {
			return err
		}
		m := ms[w.message.ID]
		if m == nil || m.State != Pending && m.State != StateUndelivered {
			return nil
		}
		if adopted = true; r.DryRun {
			return nil
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		began := s.Created // in whole seconds
		if began.Before(m.EventAt.Time) {
			began = m.EventAt.Time
		}
		m.begin(newToken(), w.hash[:], began, now)
		if err := save(ctx, tx, ms); err != nil { // attempts are inserted as they begin
			return err
		}
		m.newest().isNew = false
		rc := Receipt{Token: m.newest().Token, SID: s.SID, Status: s.Status, ErrorCode: s.ErrorCode, Disposition: s.Disposition, FromList: true}
		m.evidence(m.newest(), attemptOf[s.Status], rc, now, r.Policy)
		m.newest().Detail = "found-on-resume"
		receipts := newReceiptRows()
		receipts.add(rc, now)
		if err := save(ctx, tx, ms); err != nil {
			return err
		}
		return receipts.insert(ctx, tx)
	})
	if sqldb.IsUnique(err) { // the text became another attempt's meanwhile
		return false, nil
	}
	return adopted, err
}
