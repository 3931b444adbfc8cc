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
	now, err := v.measure(v.r.Context())
	if err != nil {
		v.fail("figures", err)
		return
	}
	v.view.Waiting = v.waiting(now, v.figures.all())
	v.show(code, "home")
}

// live is GET /console/live: the part of the start page that moves.
func (c *Console) live(v *visit) {
	now, err := c.measure(v.r.Context())
	if err != nil {
		v.fail("figures", err)
		return
	}
	v.view.Waiting = v.waiting(now, c.figures.all())
	v.show(http.StatusOK, "home-live")
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
