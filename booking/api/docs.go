package api

import (
	"bytes"
	_ "embed"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsHTML string

//go:embed docs.css
var docsCSS []byte

var docsTemplate = template.Must(template.New("docs").Parse(docsHTML))

// docsPage is what the page of the documentation shows, all of it from the OpenAPI document and the table of problems.
type docsPage struct {
	Server   string // how the outside reaches the API
	About    string
	Steps    []docsStep
	Groups   []docsGroup
	Problems []docsProblem
}

// docsStep is a step of the quick start.
type docsStep struct{ Title, About, Curl string }

// docsGroup is the calls of one tag.
type docsGroup struct {
	Name  string
	Calls []docsCall
}

type docsCall struct {
	ID, Method, Path, Summary string
	About                     []string // paragraphs
	Params, Fields            []docsField
	Answers                   []docsAnswer
	Curl                      string
}

// docsField is a parameter, or a field of a body with its path.
type docsField struct {
	Name, In, Type, About string
	Required              bool
	Limits                []string
}

type docsAnswer struct {
	Status, About string
	Problems      []string // slugs
	Example       string
}

type docsProblem struct {
	Slug          string
	Status        int
	Title, Detail string
}

// serveDocs registers GET /docs. The page is written once, here.
func (s *server) serveDocs() {
	public := s.public
	if public == "" {
		public = "http://127.0.0.1:8080"
	}
	var b bytes.Buffer
	if err := docsTemplate.Execute(&b, docsOf(s.document, strings.TrimSuffix(public, "/"))); err != nil {
		panic("api: the page of its documentation cannot be written: " + err.Error()) // a mistake in docs.html, which every test would show
	}
	serve := func(route, kind string, content []byte) {
		s.mux.HandleFunc(route, func(w http.ResponseWriter, _ *http.Request) {
			if rec, ok := w.(*recorder); ok {
				rec.route = route
			}
			h := w.Header()
			h.Set("Content-Type", kind+"; charset=utf-8")
			h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("Cache-Control", "public, max-age=300")
			_, _ = w.Write(content)
		})
	}
	serve(routeDocs, "text/html", b.Bytes())
	serve(routeDocsCSS, "text/css", docsCSS)
}

func docsOf(doc *huma.OpenAPI, public string) docsPage {
	page := docsPage{Server: public, About: doc.Info.Description, Steps: quickStart(doc)}
	for _, op := range operations(doc) {
		at := slices.IndexFunc(page.Groups, func(g docsGroup) bool { return g.Name == op.Tags[0] })
		if at < 0 {
			at = len(page.Groups)
			page.Groups = append(page.Groups, docsGroup{Name: op.Tags[0]})
		}
		page.Groups[at].Calls = append(page.Groups[at].Calls, docsOfCall(doc, op))
	}
	for i, o := range outcomes {
		if slices.ContainsFunc(outcomes[i+1:], func(later outcome) bool { return later.slug == o.slug }) {
			continue // the general one stands behind
		}
		_, p := problemOf(sampleOf(o.err, &huma.Operation{}), "en")
		page.Problems = append(page.Problems, docsProblem{o.slug, o.status, p.Title, p.Detail})
	}
	return page
}

func docsOfCall(doc *huma.OpenAPI, op *huma.Operation) docsCall {
	call := docsCall{ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary,
		About: strings.Split(op.Description, "\n\n"), Curl: curlOf(op)}
	for _, p := range op.Parameters {
		call.Params = append(call.Params, docsField{Name: p.Name, In: p.In, Type: typeOf(doc, p.Schema), About: p.Description,
			Required: p.Required, Limits: limitsOf(p.Schema)})
	}
	if op.RequestBody != nil {
		call.Fields = fieldsOf(doc, op.RequestBody.Content["application/json"].Schema, "")
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		r := op.Responses[status]
		answer := docsAnswer{Status: status}
		if media := r.Content["application/json"]; media != nil {
			answer.About = r.Description
			answer.Example = indented(media.Example)
		} else if r.Content["application/problem+json"] != nil {
			answer.Problems = strings.Split(r.Description, ", ")
		} else {
			answer.About = r.Description
		}
		call.Answers = append(call.Answers, answer)
	}
	return call
}

// fieldsOf are the fields of an object, those that it must have first, each followed by its own.
func fieldsOf(doc *huma.OpenAPI, s *huma.Schema, path string) []docsField {
	s = resolved(doc, s)
	names := slices.Clone(s.Required)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var fields []docsField
	for _, name := range names {
		p := s.Properties[name]
		f := docsField{Name: under(path, name), Type: typeOf(doc, p), About: p.Description,
			Required: slices.Contains(s.Required, name), Limits: limitsOf(p)}
		if p.Default != nil {
			f.Limits = append(f.Limits, "default "+strings.Trim(indented(p.Default), `"`))
		}
		fields = append(fields, f)
		if inner := resolved(doc, p); inner.Type == huma.TypeObject {
			fields = append(fields, fieldsOf(doc, inner, under(path, name))...)
		}
	}
	return fields
}

func resolved(doc *huma.OpenAPI, s *huma.Schema) *huma.Schema {
	if s.Ref != "" {
		return doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

func typeOf(doc *huma.OpenAPI, s *huma.Schema) string {
	s = resolved(doc, s)
	if s.Format != "" {
		return s.Format
	}
	return s.Type
}

// limitsOf are the constraints of a schema in words.
func limitsOf(s *huma.Schema) []string {
	var limits []string
	if len(s.Enum) > 0 {
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i] = strings.Trim(indented(v), `"`)
		}
		limits = append(limits, "one of "+strings.Join(values, ", "))
	}
	switch low, high := s.MinLength, s.MaxLength; {
	case low != nil && high != nil:
		limits = append(limits, strconv.Itoa(*low)+" to "+strconv.Itoa(*high)+" characters")
	case low != nil:
		limits = append(limits, "characters: "+strconv.Itoa(*low)+" or more")
	case high != nil:
		limits = append(limits, "at most "+strconv.Itoa(*high)+" characters")
	}
	for words, n := range map[string]*float64{"at least": s.Minimum, "at most": s.Maximum} {
		if n != nil {
			limits = append(limits, words+" "+strconv.FormatFloat(*n, 'f', -1, 64))
		}
	}
	slices.Sort(limits)
	if s.Pattern != "" {
		limits = append(limits, "pattern "+s.Pattern)
	}
	return limits
}
