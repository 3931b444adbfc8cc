package sandbox

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
)

//go:embed assets page
var files embed.FS

// What the page shows at most: a rush must not make it unusable.
const (
	phonesShown = 60
	textsShown  = 5
)

// refresh is the least time between two pictures of a page that follows the network.
const refresh = 300 * time.Millisecond

// seoul is the clock on the phones.
var seoul = time.FixedZone("KST", 9*60*60)

type pages struct {
	s    *Server
	tmpl *template.Template
}

func (s *Server) pageRoutes(mux *http.ServeMux) {
	p := &pages{s: s, tmpl: template.Must(template.ParseFS(files, "page/*.html"))}
	static, err := fs.Sub(files, "assets")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	serve := http.StripPrefix("/assets/", http.FileServerFS(static))
	guard := http.NewCrossOriginProtection()
	mux.Handle("GET /{$}", p.headers(http.HandlerFunc(p.index)))
	mux.Handle("GET /phones", p.headers(http.HandlerFunc(p.phones)))
	mux.Handle("GET /events", http.HandlerFunc(p.events))
	mux.Handle("GET /assets/", p.headers(serve))
	mux.Handle("POST /faults", guard.Handler(http.HandlerFunc(p.setFault)))
}

func (p *pages) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// view is what the templates get.
type view struct {
	T       words
	Lang    string
	Query   string
	Stats   Stats
	Arrived int
	Way     int // texts that are still on their way
	Bad     int // texts that ended without arriving
	Phones  []phoneView
	Hidden  bool // there may be more phones than are shown
	Rules   []ruleView
	Presets []presetView
	Magic   []magicView
}

// magicView is a magic number: what it does, and what that means.
type magicView struct{ Number, What, Why string }

type phoneView struct {
	Key    string
	Rev    int
	Number string
	Texts  []textView
	Older  string
}

type textView struct {
	SID    string
	Prefix string // what a Korean carrier puts before a text from the web
	Body   string
	Clock  string
	ISO    string
	State  string // the class of its look
	Label  string
	Reason string
}

type ruleView struct {
	What  string
	Fired string
	Done  bool
}

func (p *pages) index(w http.ResponseWriter, r *http.Request) { p.render(w, r, "index.html") }

// phones is the part of the page that changes, for the script to put in.
func (p *pages) phones(w http.ResponseWriter, r *http.Request) { p.render(w, r, "live") }

func (p *pages) render(w http.ResponseWriter, r *http.Request, name string) {
	v := p.view(r)
	var out bytes.Buffer
	if err := p.tmpl.ExecuteTemplate(&out, name, v); err != nil {
		p.s.log.Error("sandbox: the page could not be made", "err", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", v.Lang)
	w.Header().Set("Vary", "Accept-Language")
	_, _ = out.WriteTo(w)
}

func (p *pages) view(r *http.Request) view {
	t := wordsFor(r)
	query := digitsOf(r.URL.Query().Get("q"))
	v := view{T: t, Lang: t.Lang, Query: query, Stats: p.s.Stats()}
	v.Arrived = v.Stats.States[Delivered]
	v.Way = v.Stats.States[Accepted] + v.Stats.States[Queued] + v.Stats.States[Sent]
	v.Bad = v.Stats.States[Undelivered] + v.Stats.States[Failed]
	today := p.s.opts.Now().In(seoul).Format(time.DateOnly)
	for _, snap := range p.s.store.newest(strings.TrimPrefix(query, "0"), phonesShown, textsShown) {
		v.Phones = append(v.Phones, phoneOf(snap, t, today))
	}
	v.Hidden = v.Stats.Phones > len(v.Phones) && len(v.Phones) == phonesShown
	for _, st := range p.s.Faults() {
		v.Rules = append(v.Rules, ruleOf(st, t))
	}
	for _, pr := range presets {
		v.Presets = append(v.Presets, presetView{ID: pr.id, Name: t.pick(pr.ko, pr.en), Hint: t.pick(pr.koHint, pr.enHint)})
	}
	for _, m := range magicNumbers {
		v.Magic = append(v.Magic, magicViewOf(m, t))
	}
	return v
}

func magicViewOf(m magicNumber, t words) magicView {
	v := magicView{Number: localNumber(m.number)}
	if m.from {
		v.Number = t.From + " " + v.Number
	}
	status, code, _ := parseFinal(m.final) // the table is checked by a test
	switch {
	case m.refused != 0:
		v.What, v.Why = fmt.Sprintf("%d · %d", refusals[m.refused].status, m.refused), reasonOf(m.refused, t.Lang == "ko")
	case code != 0:
		v.What, v.Why = fmt.Sprintf("%s · %d", status, code), reasonOf(code, t.Lang == "ko")
	case status == Sent:
		v.What, v.Why = string(status), t.ForEver
	default:
		v.What = string(status)
	}
	return v
}

func phoneOf(snap phoneSnapshot, t words, today string) phoneView {
	p := phoneView{Key: strings.TrimPrefix(snap.number, "+"), Rev: snap.rev, Number: localNumber(snap.number)}
	if snap.older > 0 {
		p.Older = fmt.Sprintf(t.Older, snap.older)
	}
	for i := len(snap.texts) - 1; i >= 0; i-- { // oldest first, as on a phone
		p.Texts = append(p.Texts, textOf(snap.texts[i], t, today))
	}
	return p
}

func textOf(m Message, t words, today string) textView {
	at := m.At.In(seoul)
	v := textView{SID: m.SID, Body: m.Body, Clock: at.Format("15:04:05"), ISO: at.Format(time.RFC3339)}
	if at.Format(time.DateOnly) != today {
		v.Clock = at.Format("1/2 15:04")
	}
	if strings.HasPrefix(m.To, "+82") {
		v.Prefix = "[Web발신]"
	}
	switch m.Status {
	case Accepted, Queued:
		v.State, v.Label = "queued", t.Queued
	case Sent:
		v.State, v.Label = "sent", t.Sent
	case Delivered:
		v.State, v.Label = "delivered", t.Delivered
	default:
		v.State, v.Label = "failed", t.Failed
		v.Reason = fmt.Sprintf("%s (%d)", reasonOf(m.ErrorCode, t.Lang == "ko"), m.ErrorCode)
	}
	return v
}

// localNumber writes a Korean number as Koreans do.
func localNumber(n string) string {
	d, ok := strings.CutPrefix(n, "+82")
	if !ok {
		return n
	}
	switch {
	case len(d) == 10 && d[0] == '1':
		return "0" + d[:2] + "-" + d[2:6] + "-" + d[6:]
	case len(d) == 9 && d[0] == '2':
		return "02-" + d[1:5] + "-" + d[5:]
	}
	return "0" + d
}

func digitsOf(q string) string {
	var b strings.Builder
	for _, r := range q {
		if r >= '0' && r <= '9' && b.Len() < 15 {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func wordsFor(r *http.Request) words {
	matcher := language.NewMatcher([]language.Tag{language.Korean, language.English})
	tag, _ := language.MatchStrings(matcher, r.URL.Query().Get("lang"), r.Header.Get("Accept-Language"))
	if base, _ := tag.Base(); base.String() == "en" {
		return english
	}
	return korean
}

// events tells the page when something has changed, not what: however many texts arrive, a page gets a few pictures a second.
func (p *pages) events(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	pause := time.NewTicker(refresh)
	defer pause.Stop()
	alive := time.NewTicker(20 * time.Second)
	defer alive.Stop()
	for n := 0; ; n++ {
		changed := p.s.store.watch()
		if _, err := fmt.Fprint(w, "event: changed\ndata: "+strconv.Itoa(n)+"\n\n"); err != nil || out.Flush() != nil {
			return
		}
		for waiting := true; waiting; {
			select {
			case <-changed:
				waiting = false
			case <-alive.C:
				if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil || out.Flush() != nil {
					return
				}
			case <-r.Context().Done():
				return
			case <-p.s.ctx.Done():
				return
			}
		}
		select {
		case <-pause.C:
		case <-r.Context().Done():
			return
		case <-p.s.ctx.Done():
			return
		}
	}
}
