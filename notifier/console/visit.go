package console

import (
	"net/http"
	"time"

	"ansim/booking"
	"ansim/notifier/console/staff"
	"ansim/notifier/page"
)

// templates are the pages, by language.
var templates = page.Parse(files, words)

// visit is one request and what its page will show.
type visit struct {
	*Console
	w    http.ResponseWriter
	r    *http.Request
	now  time.Time
	lang page.Language
	who  staff.Account // zero: nobody is signed in
	view view
	// quiet: the request was made by the page and not by a person; the session is not kept alive by it.
	quiet  bool
	common *time.Location // see zone
}

// view is what the templates show.
type view struct {
	Lang, Other page.Language
	Who         string
	MayManage   bool   // what is for supervisors
	Here        string // the address, for the switch of languages; "" when it is of a form
	Key         string // of a message
	Notice      string
	Zone        string // of the times of what is not about one programme
	Errors      page.Mistakes
	Form        map[string]string

	Demo   bool
	Then   string // sign-in: where it leads
	Keep   string // sign-in: what a form held when the session ended
	Fields []field

	Waiting   *waitingView
	Searched  bool
	Found     []foundView
	More      bool
	Case      *caseView
	Attention []causeView
	Troubles  []causeView // what is being solved without anybody
	Trail     []trailView
	Plan      *planView
	Runs      []runView
	Run       *runView
	Before    int64
}

type field struct{ Name, Value string }

func (v *visit) field(name string) string { return v.r.PostFormValue(name) }

func (v *visit) wrong(field string, says page.Text, args ...any) {
	v.view.Errors.Add(v.lang, field, says, args...)
}

// speak finds the language: that of the switch, which the session keeps, else the browser's.
func (v *visit) speak() {
	ctx := v.r.Context()
	v.lang = page.LanguageOf(v.r)
	if v.r.FormValue("lang") != "" {
		v.sessions.Put(ctx, keyLang, string(v.lang))
	} else if kept := page.Language(v.sessions.GetString(ctx, keyLang)); kept != "" {
		v.lang = kept
	}
}

// zone is that of what is not about one programme.
func (v *visit) zone() *time.Location {
	if v.common == nil {
		zone, err := booking.CommonZone(v.r.Context(), v.opts.DB)
		if err != nil {
			zone = time.UTC
		}
		v.common, v.view.Zone = zone, v.now.In(zone).Format("MST")
	}
	return v.common
}

// when says a time in a zone, with how far it is from now.
func (v *visit) when(t time.Time, zone *time.Location) page.Moment {
	return page.When(v.lang, t.In(zone), v.now)
}

// show writes a page, whole or not at all.
func (v *visit) show(code int, name string) {
	if v.lang == "" {
		v.lang = page.Korean
	}
	v.view.Lang, v.view.Other = v.lang, v.lang.Other()
	v.view.Who, v.view.MayManage = v.who.Name, v.who.Role.May(staff.Supervisor)
	v.view.Demo = v.opts.Demo != ""
	if v.r.Method == http.MethodGet {
		v.view.Here = v.r.URL.Path
	}
	if v.view.Notice == "" && !v.quiet {
		v.view.Notice = v.sessions.PopString(v.r.Context(), keyNotice)
	}
	if err := templates.Write(v.w, code, v.lang, name, v.view); err != nil {
		v.opts.Log.Error("a page could not be shown", "error", err)
		http.Error(v.w, words["broken"].In(v.lang), http.StatusInternalServerError)
	}
}

// message shows a page that says one thing.
func (v *visit) message(code int, key string) {
	v.view.Key = key
	v.show(code, "message")
}

// fail says that something went wrong on our side.
func (v *visit) fail(what string, err error) {
	if v.r.Context().Err() == nil {
		v.opts.Log.Error("a request of the console failed", "what", what, "error", err)
	}
	v.message(http.StatusInternalServerError, "broken")
}

// went answers what was done with a page that a reload does not do again.
func (v *visit) went(to, notice string) {
	if notice != "" {
		v.sessions.Put(v.r.Context(), keyNotice, words[notice].In(v.lang))
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
}
