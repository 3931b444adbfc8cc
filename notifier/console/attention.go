package console

import (
	"net/http"
	"strconv"

	"ansim/notifier"
	"ansim/notifier/console/trail"
	"ansim/notifier/page"
)

// causeView is what cannot go on for one cause.
type causeView struct {
	Kind, Cause, Why string
	Count            int64
	Oldest           string
	MayHaveArrived   int64
	Open             bool
}

// attention is GET /console/attention.
func (c *Console) attention(v *visit) {
	causes, err := c.opts.Desk.Parked.List(v.r.Context(), notifier.Selection{})
	if err != nil {
		v.fail("parked", err)
		return
	}
	for _, k := range causes {
		v.view.Attention = append(v.view.Attention, causeView{Kind: string(k.Kind), Cause: k.Cause, Why: page.Text(k.Why).In(v.lang), Count: k.Count,
			Oldest: page.Relative(v.lang, -v.now.Sub(k.Oldest)), MayHaveArrived: k.MayHaveArrived, Open: k.Standing == notifier.StandingOpen})
	}
	troubles, err := notifier.Troubles(v.r.Context(), c.opts.DB)
	if err != nil {
		v.fail("troubles", err)
		return
	}
	for _, k := range troubles {
		v.view.Troubles = append(v.view.Troubles, causeView{Kind: words["trouble-"+string(k.State)].In(v.lang), Cause: k.Reason, Why: v.opts.Explain(k.Reason, string(v.lang)),
			Count: k.Count, Oldest: page.Relative(v.lang, -v.now.Sub(k.Oldest.Time))})
	}
	v.show(http.StatusOK, "attention")
}

// trailView is an entry of the trail.
type trailView struct {
	Seq                              int64
	At                               page.Moment
	Actor, Action, Reservation, More string
}

// trailPage is how many entries a page has.
const trailPage = 50

// trail is GET /console/trail.
func (c *Console) trail(v *visit) {
	before, _ := strconv.ParseInt(v.r.URL.Query().Get("before"), 10, 64)
	entries, err := trail.Read(v.r.Context(), c.opts.DB, "", before, trailPage)
	if err != nil {
		v.fail("trail", err)
		return
	}
	for _, e := range entries {
		v.view.Trail = append(v.view.Trail, trailView{Seq: e.Seq, At: v.when(e.At, v.zone()), Actor: e.Actor, Action: string(e.Action), Reservation: e.Reservation, More: e.Detail})
	}
	if n := len(entries); n == trailPage && entries[n-1].Seq > 1 {
		v.view.Before = entries[n-1].Seq
	}
	v.show(http.StatusOK, "trail")
}
