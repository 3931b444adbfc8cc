package api

import (
	"html"
	"regexp"
	"strings"
	"testing"
)

// The page says of every call what the document does, leads nowhere that does not exist, and needs nothing but itself.
func TestDocs(t *testing.T) {
	t.Parallel()
	doc := document(t)
	r := newRig(t)
	page := r.do("GET", "/docs", "", "Authorization", "")
	if page.status != 200 || page.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", page.status, page.header.Get("Content-Type"))
	}
	if policy := page.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'self';") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	for _, foreign := range []string{"<script", "<style", " style=", `src="`, `href="http`, "javascript:"} {
		if strings.Contains(page.raw, foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
	text := html.UnescapeString(page.raw)
	for _, op := range operations(doc) {
		want := []string{op.Path, op.Summary, `id="call-` + op.OperationID + `"`, `id="curl-` + op.OperationID + `"`}
		want = append(want, strings.Split(op.Description, "\n\n")...)
		for _, p := range op.Parameters {
			want = append(want, "<code>"+p.Name+"</code>", p.Description)
		}
		if op.RequestBody != nil {
			for _, f := range fieldsOf(doc, op.RequestBody.Content["application/json"].Schema, "") {
				want = append(want, "<code>"+f.Name+"</code>", f.About)
			}
		}
		for status, answer := range op.Responses {
			want = append(want, "<code>"+status+"</code>")
			if status >= "400" {
				for _, slug := range strings.Split(answer.Description, ", ") {
					want = append(want, `<a href="#problem-`+slug+`">`)
				}
			}
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s %s: the page lacks %q", op.Method, op.Path, w)
			}
		}
	}
	checkLinks(t, r, page.raw)
}

// checkLinks follows the links inside the page and to other pages of the API.
func checkLinks(t *testing.T, r *rig, page string) {
	t.Helper()
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("two elements have the id %s", m[1])
		}
		ids[m[1]] = true
	}
	links := regexp.MustCompile(` (?:href|aria-labelledby)="([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 20 {
		t.Errorf("only %d links", len(links))
	}
	for _, m := range links {
		if strings.HasPrefix(m[1], "/") {
			if a := r.do("GET", m[1], "", "Authorization", ""); a.status != 200 {
				t.Errorf("%s: %d", m[1], a.status)
			}
		} else if !ids[strings.TrimPrefix(m[1], "#")] {
			t.Errorf("%s leads nowhere", m[1])
		}
	}
}

// What the description says of If-Match is what is read.
func TestIfMatchAsDescribed(t *testing.T) {
	t.Parallel()
	described := regexp.MustCompile(ifMatchPattern)
	for _, v := range []string{"", "*", `"1"`, `"42"`, `"999999999"`, `"1000000000"`, `"0"`, `"007"`, `""`, `"`, "1", `"x"`, `W/"1"`, `"1" `, "**"} {
		_, err := matchVersion([]string{v})
		if described.MatchString(v) != (err == nil) {
			t.Errorf("If-Match %q: described %t, read with %v", v, described.MatchString(v), err)
		}
	}
}
