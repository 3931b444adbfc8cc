package console

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"ansim/notifier/console/staff"
	"ansim/notifier/console/trail"
	"ansim/notifier/page"
	"ansim/schema/sqldb"
)

// askToSignIn shows the form, which leads on to what was asked for. What a form held is kept in the page, so that nothing is lost
// to a session that ended meanwhile.
func (v *visit) askToSignIn() {
	v.view.Then = v.r.URL.Path
	if v.r.Method == http.MethodPost {
		v.view.Keep = v.r.PostForm.Encode()
	}
	v.show(http.StatusUnauthorized, "sign-in")
}

func (v *visit) signInPage(code int) {
	v.view.Then, v.view.Keep = v.field("then"), v.field("keep")
	v.view.Form = map[string]string{"name": v.field("name")}
	v.show(code, "sign-in")
}

// signInForm is GET /console/sign-in.
func (c *Console) signInForm(v *visit) { v.signInPage(http.StatusOK) }

// signIn is POST /console/sign-in.
func (c *Console) signIn(v *visit) {
	a, err := c.door.SignIn(v.r.Context(), v.field("name"), v.field("password"), c.opts.Network(v.r))
	var many *staff.TooMany
	switch {
	case err == nil:
		v.enter(a)
	case errors.As(err, &many):
		v.w.Header().Set("Retry-After", "60")
		v.wrong("name", saysMany, page.Span(v.lang, many.Wait))
		v.signInPage(http.StatusTooManyRequests)
	case errors.Is(err, staff.ErrRefused):
		v.wrong("name", saysRefused)
		v.signInPage(http.StatusUnprocessableEntity)
	case errors.Is(err, staff.ErrBusy):
		v.message(http.StatusServiceUnavailable, "busy")
	default:
		v.fail("sign in", err)
	}
}

// signInDemo is POST /console/sign-in/demo, which is there in the demonstration alone.
func (c *Console) signInDemo(v *visit) {
	accounts, err := staff.List(v.r.Context(), c.opts.DB)
	if err != nil {
		v.fail("demo", err)
		return
	}
	for _, a := range accounts {
		if a.Name == c.opts.Demo {
			v.who = a
			if err := v.record(trail.SignedIn, "", "demo"); err != nil {
				v.fail("demo", err)
				return
			}
			v.enter(a)
			return
		}
	}
	v.message(http.StatusNotFound, "not-found")
}

// enter begins the session, under a new token, and leads to what was asked for.
func (v *visit) enter(a staff.Account) {
	ctx := v.r.Context()
	if err := v.sessions.RenewToken(ctx); err != nil {
		v.fail("session", err)
		return
	}
	// The account's own clock is the database's: a session that begins now has not seen any later change.
	var since sqldb.Time
	if err := v.opts.DB.Read(ctx, readNow(&since)); err != nil {
		v.fail("session", err)
		return
	}
	v.sessions.Put(ctx, keyStaff, a.ID)
	v.sessions.Put(ctx, keySince, since.UnixMicro())
	v.who = a
	then, ok := v.then()
	if keep, err := url.ParseQuery(v.field("keep")); ok && err == nil && len(keep) > 0 {
		v.view.Then = then
		for _, name := range slices.Sorted(maps.Keys(keep)) {
			v.view.Fields = append(v.view.Fields, field{name, keep.Get(name)})
		}
		v.show(http.StatusOK, "resume")
		return
	}
	if !ok || v.field("keep") != "" {
		then = "/console"
	}
	http.Redirect(v.w, v.r, then, http.StatusSeeOther)
}

// then is where the sign-in leads: a page of the console, and no other site's.
func (v *visit) then() (string, bool) {
	then := v.field("then")
	u, err := url.Parse(then)
	if err != nil || u.Host != "" || u.Scheme != "" || u.User != nil || u.Path != then || path.Clean(then) != then || strings.ContainsAny(then, "\\\r\n") ||
		then != "/console" && !strings.HasPrefix(then, "/console/") || strings.HasPrefix(then, "/console/sign-") {
		return "", false
	}
	return then, true
}

// signOut is POST /console/sign-out.
func (c *Console) signOut(v *visit) {
	if v.who.ID != "" {
		if err := v.record(trail.SignedOut, "", ""); err != nil {
			v.fail("sign out", err)
			return
		}
	}
	if err := c.sessions.Destroy(v.r.Context()); err != nil {
		v.fail("sign out", err)
		return
	}
	http.Redirect(v.w, v.r, "/console/sign-in", http.StatusSeeOther)
}
