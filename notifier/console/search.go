package console

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"ansim/booking"
	"ansim/notifier/console/trail"
	"ansim/notifier/page"
	"ansim/schema/sqldb"
)

// readNow reads the database's clock.
func readNow(at *sqldb.Time) func(context.Context, *sqldb.Tx) error {
	return func(ctx context.Context, tx *sqldb.Tx) error {
		now, err := tx.Now(ctx)
		*at = sqldb.At(now)
		return err
	}
}

// waitingView is how far the texts are.
type waitingView struct {
	Waiting, LookingUp, Person int64
	PerSecond                  string
	Drain                      string // how long it takes; "" while nothing goes out
	Oldest                     string // since when somebody waits, "" when nobody does
	Notifiers                  int
}

// foundView is one line of what a search found.
type foundView struct {
	ID, Code, Name, Site, State string
	When                        page.Moment
}

// foundMost is the most that a search shows.
const foundMost = 20

// home is GET /console.
func (c *Console) home(v *visit) { v.home(http.StatusOK) }

func (v *visit) home(code int) {
	w, err := v.opts.Waiting(v.r.Context())
	if err != nil {
		v.fail("figures", err)
		return
	}
	f := &waitingView{Waiting: w.Pending + w.Sending, LookingUp: w.Unknown, Person: w.Person, PerSecond: fmt.Sprintf("%.1f", w.Rate), Notifiers: len(w.Processes)}
	if d, known := w.Drain(); known && f.Waiting > 0 {
		f.Drain = page.Span(v.lang, d)
	}
	if !w.Oldest.IsZero() {
		f.Oldest = page.Span(v.lang, v.now.Sub(w.Oldest))
	}
	v.view.Waiting = f
	v.show(code, "home")
}

// search is POST /console/search: what is looked for stands in the body, so in no address and no log.
func (c *Console) search(v *visit) {
	words := strings.TrimSpace(v.field("q"))
	v.view.Form = map[string]string{"q": words}
	if words == "" {
		v.wrong("q", saysSearch)
		v.home(http.StatusUnprocessableEntity)
		return
	}
	found, err := booking.Find(v.r.Context(), c.opts.DB, words, foundMost+1)
	if err != nil {
		v.fail("search", err)
		return
	}
	if err := v.record(trail.Searched, "", fmt.Sprintf("%d found", min(len(found), foundMost))); err != nil {
		v.fail("trail", err)
		return
	}
	if len(found) == 1 {
		http.Redirect(v.w, v.r, "/console/reservations/"+found[0].ID, http.StatusSeeOther)
		return
	}
	if v.view.More = len(found) > foundMost; v.view.More {
		found = found[:foundMost]
	}
	for _, f := range found {
		v.view.Found = append(v.view.Found, foundView{ID: f.ID, Code: booking.FormatCode(f.Code), Name: f.Name.Reveal(), Site: page.Text(f.Site).In(v.lang),
			State: f.Status, When: page.When(v.lang, f.Slot.StartsAt, v.now)})
	}
	v.view.Searched = true
	v.home(http.StatusOK)
}
