package resident

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"ansim/booking"
	"ansim/notifier/page"
	"ansim/schema/event"
)

const (
	// movePage is how many free times a page lists.
	movePage = 48
	// movePlaces is how many other places it lists.
	movePlaces = 20
)

// moveView is what there is to choose from.
type moveView struct {
	Site, SiteName string // of the times
	Days           []moveDay
	After          string // where the next page begins, "" at the end
	Searched       bool
	Places         []moveSite
	More           bool        // there are more places
	To             page.Moment // of the page that asks
	Slot           string
}

type moveDay struct {
	Day   string
	Times []moveTime
}

type moveTime struct{ Slot, Clock, Machine string }

type moveSite struct{ ID, Name string }

// call is the request under the form's nonce.
func (v *visit) call(route, what string) (booking.Call, bool) {
	nonce, err := booking.NormalizeKey(v.field("nonce"))
	return booking.Call{Client: v.found.Holder, Key: nonce, Route: route, Fingerprint: sha256.Sum256([]byte(what))}, err == nil
}

// version is the one that the form was made from.
func (v *visit) version() int {
	n, err := strconv.Atoi(v.field("version"))
	if err != nil || n < 1 {
		return v.found.Version
	}
	return n
}

// done shows the reservation as it is after a change, with what was done.
func (v *visit) done(title, says string) {
	if !v.lookAgain() {
		return
	}
	v.view.Notice = &notice{Title: words[title].In(v.lang), Says: words[says].In(v.lang)}
	v.booking(http.StatusOK)
}

// lookAgain looks the reservation up once more.
func (v *visit) lookAgain() bool {
	found, err := v.opts.Service.Lookup(v.r.Context(), booking.Proof{Code: v.found.Code, BirthDates: []string{v.found.BirthDate}, From: v.opts.Network(v.r)})
	if err != nil {
		v.fail("look again", err)
		return false
	}
	v.found = found
	return true
}

// refused shows the reservation with why something was not done, or what went wrong.
func (v *visit) refused(what string, err error) {
	says, ok := page.ReasonOf(refusals, err)
	if !ok {
		v.fail(what, err)
		return
	}
	if !v.lookAgain() {
		return
	}
	s := says.In(v.lang)
	var no *booking.Refusal
	if errors.As(err, &no) {
		at := no.OpensAt
		if no.RetryAfter > 0 {
			at = no.ServerTime.Add(no.RetryAfter)
		}
		s = strings.ReplaceAll(s, "{at}", v.clock(at, no.ServerTime))
	}
	v.view.Notice = &notice{Says: s, Warn: true}
	v.booking(http.StatusConflict)
}

// clock says when something is possible: within the hour to the second, lest somebody press in vain, else with the day.
func (v *visit) clock(at, now time.Time) string {
	at = at.In(v.found.Slot.StartsAt.Location())
	if at.Sub(now) < time.Hour {
		return at.Add(time.Second - 1).Truncate(time.Second).Format("15:04:05")
	}
	return page.When(v.lang, at, now).Text
}

// again is POST /r/again: the text once more, to the resident alone.
func (p *Pages) again(v *visit) {
	call, ok := v.call("POST /r/again", "again")
	if !ok {
		v.booking(http.StatusUnprocessableEntity)
		return
	}
	_, err := p.opts.Service.Resend(v.r.Context(), call, booking.ResendOrder{ReservationID: v.found.ID,
		Recipients: []event.Recipient{event.Resident}, Reason: "asked for on the resident's page"})
	if err != nil {
		v.refused("send again", err)
		return
	}
	v.done("again-done", "again-rest")
}

// cancel is POST /r/cancel: it asks first.
func (p *Pages) cancel(v *visit) {
	call, ok := v.call("POST /r/cancel", "cancel")
	if v.field("sure") == "" || !ok {
		v.view.Booking = v.describe()
		v.show(http.StatusOK, "cancel")
		return
	}
	if _, err := p.opts.Service.Cancel(v.r.Context(), call, v.found.ID, v.version()); err != nil {
		v.refused("cancel", err)
		return
	}
	v.done("cancel-done", "cancel-text")
}

// move is POST /r/move: it lists times, then asks, then moves.
func (p *Pages) move(v *visit) {
	v.view.Booking = v.describe()
	slot := v.field("slot")
	call, ok := v.call("POST /r/move", slot)
	switch {
	case v.view.Booking.State != "booked":
		v.refused("move", booking.ErrNotChangeable)
	case slot == "":
		if v.field("chosen") != "" {
			v.wrong("slot", words["pick-one"])
		}
		p.chooseTime(v)
	case v.field("sure") == "" || !ok:
		p.askMove(v, slot)
	default:
		if _, err := p.opts.Service.Reschedule(v.r.Context(), call, v.found.ID, slot, v.version()); err != nil {
			v.refused("move", err)
			return
		}
		v.done("move-done", "move-text")
	}
}

// chooseTime lists the free times of a place, and finds other places. Who could not move now is told so before they choose.
func (p *Pages) chooseTime(v *visit) {
	ctx := v.r.Context()
	catalogue, err := p.opts.Service.Programmes(ctx)
	if err != nil {
		v.fail("programmes", err)
		return
	}
	for _, pr := range catalogue.Programmes {
		if pr.ID == v.found.ProgrammeID {
			if no := closed(pr, v.found.BirthDate, catalogue.At); no != nil {
				v.refused("move", no)
				return
			}
		}
	}
	m := &moveView{Site: v.found.Slot.SiteID, SiteName: v.view.Booking.Site}
	v.view.Move = m
	if site := v.field("site"); site != "" && site != m.Site {
		s, err := p.opts.Service.SiteOf(ctx, v.found.ProgrammeID, site)
		if errors.Is(err, booking.ErrNotFound) {
			v.refused("move", booking.ErrNoSlot)
			return
		}
		if err != nil {
			v.fail("site", err)
			return
		}
		m.Site, m.SiteName = s.ID, textIn(s.Name, v.lang)
	}
	slots, err := p.opts.Service.Slots(ctx, booking.SlotQuery{Programme: v.found.ProgrammeID, Site: m.Site, Free: true, Limit: movePage,
		After: parseMark(v.field("after"))})
	if err != nil {
		v.fail("slots", err)
		return
	}
	m.list(v, slots)
	v.view.Form.Place = v.field("place")
	if m.Searched = v.field("search") != ""; m.Searched {
		sites, err := p.opts.Service.FreeSites(ctx, v.found.ProgrammeID, v.view.Form.Place, movePlaces+1)
		if err != nil {
			v.fail("places", err)
			return
		}
		if m.More = len(sites) > movePlaces; m.More {
			sites = sites[:movePlaces]
		}
		for _, s := range sites {
			m.Places = append(m.Places, moveSite{s.ID, textIn(s.Name, v.lang)})
		}
	}
	code := http.StatusOK
	if len(v.view.Errors) > 0 {
		code = http.StatusUnprocessableEntity
	}
	v.show(code, "move")
}

func textIn(t booking.Text, l page.Language) string { return page.Text(t).In(l) }

// closed is the refusal that a move would meet now, nil when there is none.
func closed(pr booking.Programme, birthDate string, now time.Time) error {
	e := pr.Eligible(birthDate, now)
	no := &booking.Refusal{ServerTime: now}
	switch {
	case !e.Eligible:
		no.Kind = booking.ErrNotEligible
	case e.Open:
		return nil
	case e.Window != nil && now.Before(e.Window.OpensAt):
		no.Kind, no.OpensAt = booking.ErrNotOpenYet, e.Window.OpensAt
	default:
		no.Kind = booking.ErrWindowClosed
	}
	return no
}

// list groups the times by day. The one that the reservation has is left out.
func (m *moveView) list(v *visit, p booking.SlotPage) {
	for _, s := range p.Slots {
		if s.ID == v.found.Slot.ID {
			continue
		}
		at := page.When(v.lang, s.StartsAt, v.now)
		if n := len(m.Days); n == 0 || m.Days[n-1].Day != at.Day {
			m.Days = append(m.Days, moveDay{Day: at.Day})
		}
		d := &m.Days[len(m.Days)-1]
		d.Times = append(d.Times, moveTime{s.ID, at.Clock, at.Machine})
	}
	if p.More {
		last := p.Slots[len(p.Slots)-1]
		m.After = last.StartsAt.UTC().Format(time.RFC3339Nano) + " " + last.ID
	}
}

// parseMark reads what list wrote; anything else is the beginning.
func parseMark(s string) booking.SlotMark {
	at, id, _ := strings.Cut(s, " ")
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return booking.SlotMark{}
	}
	return booking.SlotMark{StartsAt: t, ID: id}
}

// askMove shows the time that was chosen beside the one that there is.
func (p *Pages) askMove(v *visit, slot string) {
	chosen, err := p.opts.Service.SlotOf(v.r.Context(), v.found.ProgrammeID, slot)
	if errors.Is(err, booking.ErrNoSlot) {
		v.refused("move", err)
		return
	}
	if err != nil {
		v.fail("slot", err)
		return
	}
	v.view.Move = &moveView{Slot: slot, SiteName: textIn(chosen.Site, v.lang), To: page.When(v.lang, chosen.StartsAt, v.now)}
	v.show(http.StatusOK, "moving")
}

// calendar is POST /r/calendar: the appointment as a file for any calendar (RFC 5545). It says no name and no number.
func (p *Pages) calendar(v *visit) {
	b := v.describe()
	c := ics.NewCalendarFor("ansim")
	c.SetMethod(ics.MethodPublish)
	e := c.AddEvent(v.found.ID)
	e.SetDtStampTime(v.now.UTC())
	e.SetSequence(v.found.Version)
	e.SetStartAt(v.found.Slot.StartsAt)
	e.SetSummary(b.Programme)
	e.SetLocation(b.Site)
	e.SetDescription(fmt.Sprintf("%s %s", words["code"].In(v.lang), b.Code))
	if b.State == "cancelled" {
		e.SetStatus(ics.ObjectStatusCancelled)
	} else {
		e.SetStatus(ics.ObjectStatusConfirmed)
		alarm := e.AddAlarm()
		alarm.SetAction(ics.ActionDisplay)
		alarm.SetTrigger("-P1D")
		alarm.SetDescription(b.Programme)
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/calendar; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="reservation.ics"`)
	_, _ = v.w.Write([]byte(c.Serialize()))
}

// sendCode is POST /r/lost. It answers everybody alike.
func (p *Pages) sendCode(v *visit) {
	v.view.Form = form{Name: v.field("name"), Birth: v.field("birth"), Phone: v.field("phone")}
	name, err := booking.NormalizeName(v.view.Form.Name)
	if err != nil {
		v.wrong("name", saysName)
	}
	births := v.birth()
	phone, err := booking.NormalizePhone(v.view.Form.Phone)
	if err != nil {
		v.wrong("phone", saysPhone)
	}
	if len(v.view.Errors) > 0 {
		v.show(http.StatusUnprocessableEntity, "lost")
		return
	}
	select {
	case p.lost <- booking.LostCode{Name: name, BirthDates: births, Phone: phone}:
		v.view.Form = form{}
		v.show(http.StatusOK, "sent")
	default:
		v.busy()
	}
}
