// Package page has what the people's pages share: their look, their headers, their language, and how they say a time.
package page

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/text/language"
)

//go:embed page.css
var css string

//go:embed live.js
var script string

// version makes an address another one when its contents are, so that browsers may keep it for ever.
func version(contents string) string {
	sum := sha256.Sum256([]byte(contents))
	return hex.EncodeToString(sum[:6])
}

// StylePath is where the pages' stylesheet is.
func StylePath() string { return "/page-" + version(css) + ".css" }

// ScriptPath is where the script is that brings figures up to date. No page needs it.
func ScriptPath() string { return "/live-" + version(script) + ".js" }

// Style answers with the stylesheet.
func Style(w http.ResponseWriter, r *http.Request) { constant(w, r, "text/css", css) }

// Script answers with the script.
func Script(w http.ResponseWriter, r *http.Request) { constant(w, r, "text/javascript", script) }

func constant(w http.ResponseWriter, r *http.Request, kind, contents string) {
	h := w.Header()
	h.Set("Content-Type", kind+"; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(contents))
}

// MaxForm is the most bytes of a form.
const MaxForm = 16 << 10

// Policy is what a page may do beside what every page may, in the words of Content-Security-Policy.
type Policy string

// WithScript allows our own script, from its own address, to ask for our own pages.
const WithScript Policy = "script-src 'self'; connect-src 'self'"

// Guarded is next behind what every page for people has: nothing but our stylesheet is loaded and nothing but our forms are
// sent, no other site shows the page in a frame or sends a form to it, nothing is kept by browsers or proxies, and a form has
// at most MaxForm bytes. What another site sends is answered by refused. Scripts are refused but with WithScript.
func Guarded(next, refused http.Handler, more ...Policy) http.Handler {
	policy := "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	for _, m := range more {
		policy += "; " + string(m)
	}
	var origin http.CrossOriginProtection
	origin.SetDenyHandler(refused)
	checked := origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // with none at all, browsers would not say that a form is our own
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Accept-Language")
		r.Body = http.MaxBytesReader(w, r.Body, MaxForm)
		checked.ServeHTTP(w, r)
	})
}

// Bounded is next for at most n requests at once. Who waits for longer than patience is answered by busy.
func Bounded(next, busy http.Handler, n int, patience time.Duration) http.Handler {
	inside := semaphore.NewWeighted(int64(n))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		err := inside.Acquire(ctx, 1)
		cancel()
		if err != nil {
			busy.ServeHTTP(w, r)
			return
		}
		defer inside.Release(1)
		next.ServeHTTP(w, r)
	})
}

// Language is one that the pages speak.
type Language string

// The languages.
const (
	Korean  Language = "ko"
	English Language = "en"
)

// matcher finds the better one of the two; Korean is for who wants neither.
var matcher = language.NewMatcher([]language.Tag{language.Korean, language.English})

// LanguageOf is the language that the request asks for: by its field or parameter lang, else by the browser's.
func LanguageOf(r *http.Request) Language {
	switch l := Language(r.FormValue("lang")); l {
	case Korean, English:
		return l
	}
	tags, _, _ := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if _, i, confidence := matcher.Match(tags...); i == 1 && confidence > language.No {
		return English
	}
	return Korean
}

// Other is the one that a switch leads to.
func (l Language) Other() Language {
	if l == English {
		return Korean
	}
	return English
}

// Text is words in both languages.
type Text struct{ Ko, En string }

// In is the words in one language.
func (t Text) In(l Language) string {
	if l == English {
		return t.En
	}
	return t.Ko
}
