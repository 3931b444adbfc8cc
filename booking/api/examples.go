package api

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ansim/booking"
)

// complete adds to a document what can be told from its operations alone: tags, and an example for each body that has none.
// Examples are made from the schemas, by the example tags of their fields, so that a new field or call has one without being
// written down a second time.
func complete(doc *huma.OpenAPI) {
	for _, op := range operations(doc) {
		tag := strings.Split(strings.TrimPrefix(op.Path, "/v1/"), "/")[0]
		op.Tags = []string{tag}
		if !slices.ContainsFunc(doc.Tags, func(t *huma.Tag) bool { return t.Name == tag }) {
			doc.Tags = append(doc.Tags, &huma.Tag{Name: tag})
		}
		for _, p := range op.Parameters {
			switch {
			case p.Example != nil:
			case p.In == "path":
				p.Example = pathExample(op.Path)
			case p.In == "query" && p.Required:
				p.Example = exampleOf(doc.Components.Schemas, p.Schema, true)
			}
		}
		if op.RequestBody != nil {
			for _, media := range op.RequestBody.Content {
				if media.Examples == nil {
					media.Example = exampleOf(doc.Components.Schemas, media.Schema, true)
				}
			}
		}
		for status, answer := range op.Responses {
			for kind, media := range answer.Content {
				if kind == "application/problem+json" {
					media.Examples = problemExamples(op, status, strings.Split(answer.Description, ", "))
				} else if media.Examples == nil {
					media.Example = exampleOf(doc.Components.Schemas, media.Schema, false)
				}
			}
		}
	}
}

// pathExample is an id of what a path is about.
func pathExample(path string) string {
	if strings.HasPrefix(path, "/v1/programmes/") {
		return "covid-2021-50s"
	}
	return exampleText("uuid")
}

// operations are all of a document, by path and then by method.
func operations(doc *huma.OpenAPI) []*huma.Operation {
	var all []*huma.Operation
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if op != nil {
				all = append(all, op)
			}
		}
	}
	slices.SortFunc(all, func(a, b *huma.Operation) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	return all
}

// exampleOf is a value that a schema allows. That of a request leaves out the objects that are optional, so that it stays
// short.
func exampleOf(schemas huma.Registry, s *huma.Schema, request bool) any {
	if s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Nullable:
		return nil
	}
	switch s.Type {
	case huma.TypeObject:
		return exampleObject(schemas, s, request)
	case huma.TypeArray:
		return []any{exampleOf(schemas, s.Items, request)}
	case huma.TypeInteger, huma.TypeNumber:
		if s.Minimum != nil {
			return *s.Minimum
		}
		return 0
	case huma.TypeBoolean:
		return false
	}
	return exampleText(s.Format)
}

func exampleObject(schemas huma.Registry, s *huma.Schema, request bool) any {
	object := map[string]any{}
	required := slices.Clone(s.Required)
	if len(s.OneOf) > 0 { // one of several sets of fields: the first
		required = append(required, s.OneOf[0].Required...)
	}
	for name, field := range s.Properties {
		optional := len(s.OneOf) == 0 && (len(field.Examples) > 0 || !request && field.Ref != "")
		if slices.Contains(required, name) || optional {
			object[name] = exampleOf(schemas, field, request)
		}
	}
	return object
}

func exampleText(format string) string {
	switch format {
	case "uuid":
		return "0198f0a2-6c1e-7d3a-9b54-2f1c8e7a4d60"
	case "date-time":
		return "2021-07-26T10:30:00+09:00"
	case "date":
		return "1967-03-21"
	}
	return "text"
}

// problemExamples are the problems of an operation that have a status, as they are answered in English.
func problemExamples(op *huma.Operation, status string, slugs []string) map[string]*huma.Example {
	examples := map[string]*huma.Example{}
	for _, o := range outcomes { // of two with one slug, the general one stands behind
		if strconv.Itoa(o.status) != status || !slices.Contains(slugs, o.slug) {
			continue
		}
		_, problem := problemOf(sampleOf(o.err, op), "en")
		examples[o.slug] = &huma.Example{Summary: problem.Title, Value: asRead(problem)}
	}
	return examples
}

// sampleOf is err as a request could meet it, with what the data would say.
func sampleOf(err error, op *huma.Operation) error {
	if _, ok := errors.AsType[*invalid](err); ok {
		return &invalid{[]fieldError{{fieldOf(op), codeMissing, ""}}}
	}
	korea := time.FixedZone("", 9*60*60)
	day := func(d int) time.Time { return time.Date(2021, 7, d, 20, 0, 0, 0, korea) }
	r := &booking.Refusal{Kind: err}
	next := &booking.Window{Rule: "born-1969", OpensAt: day(21), ClosesAt: day(24)}
	switch {
	case errors.Is(err, booking.ErrNotOpenYet):
		r.Rule, r.OpensAt, r.ClosesAt, r.ServerTime = "born-1967-1968", day(19), day(24), day(19).Add(-time.Millisecond)
	case errors.Is(err, booking.ErrWindowClosed):
		r.Rule, r.OpensAt, r.ClosesAt, r.ServerTime, r.NextWindow = "born-1967-1968", day(19), day(20), day(20), next
	case errors.Is(err, booking.ErrNotEligible):
		r.ServerTime, r.NextWindow = day(19), next
	case errors.Is(err, booking.ErrSlotFull):
		r.Alternatives = []booking.Slot{{ID: "gangnam-0726-1100", SiteID: "gangnam", StartsAt: time.Date(2021, 7, 26, 11, 0, 0, 0, korea)}}
	case errors.Is(err, booking.ErrVersionMismatch):
		r.Version = 2
	}
	return r
}

// fieldOf is a field that a client could forget.
func fieldOf(op *huma.Operation) string {
	for _, p := range op.Parameters {
		if p.Required && p.In != "path" && p.Name != headerKey {
			return p.Name
		}
	}
	if op.RequestBody != nil {
		if object, ok := op.RequestBody.Content["application/json"].Example.(map[string]any); ok && len(object) > 0 {
			names := make([]string, 0, len(object))
			for name := range object {
				names = append(names, name)
			}
			return slices.Max(names)
		}
	}
	return "body"
}

// asRead is v as a reader of JSON gets it.
func asRead(v any) any {
	body, err := json.Marshal(v)
	if err != nil {
		panic("api: an example cannot be written: " + err.Error()) // a mistake in this package, which every test would show
	}
	var out any
	if err := json.Unmarshal(body, &out); err != nil {
		panic("api: an example cannot be read: " + err.Error())
	}
	return out
}

// problemSchema is the shared one, narrowed to the types that have a status.
func problemSchema(shared *huma.Schema, status int, slugs []string) *huma.Schema {
	types := make([]any, len(slugs))
	for i, slug := range slugs {
		types[i] = "/problems/" + slug
	}
	return &huma.Schema{AllOf: []*huma.Schema{shared, {Type: huma.TypeObject, Properties: map[string]*huma.Schema{
		"type":   {Type: huma.TypeString, Enum: types},
		"status": {Type: huma.TypeInteger, Enum: []any{float64(status)}},
	}}}}
}
