package console

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"ansim/booking"
	"ansim/notifier"
	"ansim/notifier/console/bulk"
	"ansim/notifier/page"
)

// planView is what is asked before something is set off for many.
type planView struct {
	About, Kind, Target    string
	What                   string // in words
	Why                    string // of a cause
	Total, Would, Risky    int64
	Not                    []outcomeView
	Items                  []itemView
	Reason                 string
	Accept, HasSeveral, Go bool
}

type outcomeView struct {
	Why   string
	Count int64
}

type itemView struct {
	ID, Kind, Reservation string
	Since                 page.Moment
	Risky                 bool
}

// runView is one that was set off.
type runView struct {
	ID, What, State, Says, Reason, By string
	Began                             page.Moment
	Zone                              string
	Total, Done, Passed, Looked, Left int64
	Not                               []outcomeView
	MayPause, MayGoOn, MayStop        bool
	ToGo                              string
}

// runsMost is how many runs the page lists, the newest.
const runsMost = 50

// runs is GET /console/runs.
func (c *Console) runs(v *visit) { v.runs(http.StatusOK) }

func (v *visit) runs(code int) {
	list, err := v.opts.Desk.List(v.r.Context(), runsMost)
	if err != nil {
		v.fail("runs", err)
		return
	}
	for _, r := range list {
		v.view.Runs = append(v.view.Runs, v.runOf(r))
	}
	v.show(code, "runs")
}

// runOf says a run in words.
func (v *visit) runOf(r bulk.Run) runView {
	out := runView{ID: r.ID, What: v.what(r.Order), State: string(r.State), Says: words["run-"+string(r.State)].In(v.lang), Reason: r.Reason,
		By: strings.TrimPrefix(r.By, "staff:"), Began: v.when(r.Began, v.zone()), Total: max(r.Total, r.Done+r.Passed),
		Done: r.Done, Passed: r.Passed, Looked: r.Done + r.Passed, Left: r.Left(), Not: v.outcomes(r.Outcomes)}
	out.Zone = v.view.Zone
	switch r.State {
	case bulk.Running:
		out.MayPause, out.MayStop = true, true
		if worked := v.now.Sub(r.Began); worked > 0 && r.Done+r.Passed > 0 && out.Left > 0 {
			out.ToGo = page.Span(v.lang, time.Duration(float64(worked)/float64(r.Done+r.Passed)*float64(out.Left)))
		}
	case bulk.Paused, bulk.Failed:
		out.MayGoOn, out.MayStop = true, true
	case bulk.Stopped, bulk.Done:
	}
	return out
}

// what says an order in words.
func (v *visit) what(o bulk.Order) string {
	s := words["about-"+string(o.About)].In(v.lang)
	if o.About == bulk.All && o.Kind != "" {
		s = words["about-all-"+string(o.Kind)].In(v.lang)
	}
	target := o.Target
	if o.About == bulk.Item && len(target) > 8 {
		target = target[:8] + "…"
	}
	if target == "" {
		return s
	}
	return s + ": " + target
}

// outcomes says why what was passed by was passed by.
func (v *visit) outcomes(counts map[string]int64) (out []outcomeView) {
	for _, why := range slices.Sorted(maps.Keys(counts)) {
		says := why
		if w, ok := words["outcome-"+why]; ok {
			says = w.In(v.lang)
		}
		out = append(out, outcomeView{says, counts[why]})
	}
	return out
}

// order reads what a form asks for; false when it makes no sense, which the page then says.
func (v *visit) order() (o bulk.Order, ok bool) {
	o = bulk.Order{About: bulk.About(v.field("about")), Kind: notifier.ParkedKind(v.field("kind")), Target: strings.TrimSpace(v.field("target")),
		AcceptDuplicates: v.field("even") != ""}
	switch o.About {
	case bulk.Item, bulk.Cause:
		ok = o.Target != ""
	case bulk.All:
		ok = o.Target == ""
	case bulk.Slot:
		if o.Kind = ""; o.Target == "" {
			v.view.Form = map[string]string{}
			v.wrong("target", saysSlot)
			v.runs(http.StatusUnprocessableEntity)
			return o, false
		}
		ok = true
	}
	ok = ok && (o.Kind == "" || o.Kind == notifier.ParkedEvents || o.Kind == notifier.ParkedTexts)
	if !ok {
		v.message(http.StatusUnprocessableEntity, "unclear")
	}
	return o, ok
}

// preview is POST /console/runs/preview: what would happen.
func (c *Console) preview(v *visit) {
	if o, ok := v.order(); ok {
		v.plan(o, http.StatusOK)
	}
}

// planned looks at what a run would do, and says so when that is nothing.
func (v *visit) planned(o bulk.Order) (bulk.Plan, bool) {
	p, err := v.opts.Desk.Preview(v.r.Context(), o)
	switch {
	case err == nil:
		return p, true
	case errors.Is(err, bulk.ErrNothing) && o.About == bulk.Slot:
		v.view.Form = map[string]string{"target": o.Target}
		v.wrong("target", saysNoSlot)
		v.runs(http.StatusUnprocessableEntity)
	case errors.Is(err, bulk.ErrNothing):
		v.message(http.StatusOK, "nothing-left")
	default:
		v.fail("preview", err)
	}
	return p, false
}

// plan shows what a run would do.
func (v *visit) plan(o bulk.Order, code int) {
	p, ok := v.planned(o)
	if !ok {
		return
	}
	view := &planView{About: string(o.About), Kind: string(o.Kind), Target: o.Target, What: v.what(o), Total: p.Total, Would: p.Would, Risky: p.Risky,
		Not: v.outcomes(p.Not), Reason: v.field("reason"), Accept: o.AcceptDuplicates, HasSeveral: p.Total > 1, Go: p.Would+p.Risky > 0}
	if o.About == bulk.Cause {
		view.Why = v.opts.Explain(o.Target, string(v.lang))
	}
	for _, it := range p.Samples {
		view.Items = append(view.Items, itemView{ID: it.ID, Kind: string(it.Kind), Reservation: it.ReservationID, Since: v.when(it.Since, v.zone()), Risky: it.MayHaveArrived})
	}
	v.view.Plan = view
	v.show(code, "plan")
}

// begin is POST /console/runs. The form's nonce is the run's id: pressed twice, it is one.
func (c *Console) begin(v *visit) {
	o, ok := v.order()
	if !ok {
		return
	}
	id, err := uuid.Parse(v.field("nonce"))
	if err != nil {
		v.wrong("reason", saysAgain)
	}
	reason, wrong := booking.NormalizeReason(v.field("reason"))
	if wrong != nil {
		v.wrong("reason", saysReason)
	}
	if len(v.view.Errors) > 0 {
		v.plan(o, http.StatusUnprocessableEntity)
		return
	}
	o.Reason = reason
	if _, err := v.opts.Desk.Get(v.r.Context(), id.String()); err == nil { // pressed twice
		v.went("/console/runs/"+id.String(), "")
		return
	}
	p, ok := v.planned(o)
	if !ok {
		return
	}
	if err := v.opts.Desk.Start(v.r.Context(), id.String(), v.who.Actor(), o, p.Total); err != nil {
		v.fail("begin a run", err)
		return
	}
	c.worker.Wake()
	v.went("/console/runs/"+id.String(), "run-begun")
}

// run is GET /console/runs/{id}, and GET /console/runs/{id}/live for the part of it that moves.
func (c *Console) run(v *visit) { v.run("run", http.StatusOK) }

func (c *Console) runLive(v *visit) { v.run("run-live", http.StatusOK) }

func (v *visit) run(name string, code int) {
	r, err := v.opts.Desk.Get(v.r.Context(), v.r.PathValue("id"))
	if errors.Is(err, bulk.ErrNone) {
		v.message(http.StatusNotFound, "no-run")
		return
	}
	if err != nil {
		v.fail("run", err)
		return
	}
	view := v.runOf(r)
	v.view.Run = &view
	v.show(code, name)
}

// What is asked of a run: POST /console/runs/{id}/pause, /go-on and /stop.
func (c *Console) pause(v *visit) { v.move(bulk.Paused, "run-paused") }
func (c *Console) goOn(v *visit)  { v.move(bulk.Running, "run-running") }
func (c *Console) stop(v *visit)  { v.move(bulk.Stopped, "run-stopped") }

func (v *visit) move(to bulk.State, notice string) {
	id := v.r.PathValue("id")
	err := v.opts.Desk.Move(v.r.Context(), id, v.who.Actor(), to)
	switch {
	case err == nil:
		v.worker.Wake()
		v.went("/console/runs/"+id, notice)
	case errors.Is(err, bulk.ErrNone):
		v.message(http.StatusNotFound, "no-run")
	case errors.Is(err, bulk.ErrMoved):
		v.wrong("moved", saysMoved)
		v.run("run", http.StatusConflict)
	default:
		v.fail("move a run", err)
	}
}
