package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// document is what the API with all its calls says of itself.
func document(t *testing.T) *huma.OpenAPI {
	t.Helper()
	s := &server{service: nothing{}, keys: nothing{}}
	s.handler()
	return s.document
}

// The contract is a file, so that a change of it shows in review.
func TestOpenAPIGolden(t *testing.T) {
	t.Parallel()
	var sorted any
	served := newRig(t).do("GET", "/openapi.json", "").raw
	if err := json.Unmarshal([]byte(served), &sorted); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(sorted); err != nil {
		t.Fatal(err)
	}
	const file = "testdata/openapi.json"
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), b.String()); diff != "" {
		t.Errorf("the contract changed; if that is meant: go test ./booking/api -run OpenAPI -update\n%s", diff)
	}
	own, err := json.Marshal(document(t))
	if err != nil {
		t.Fatal(err)
	}
	if string(own) != served {
		t.Error("func document of this test does not know all calls that newRig has")
	}
}

// Every operation says what it does, what it takes and what it answers.
func TestOpenAPIOperations(t *testing.T) {
	t.Parallel()
	doc := document(t)
	seen := map[string]bool{}
	for _, op := range operations(doc) {
		name := op.Method + " " + op.Path
		if seen[op.OperationID] || op.OperationID == "" {
			t.Errorf("%s: operation id %q", name, op.OperationID)
		}
		seen[op.OperationID] = true
		if op.Summary == "" || len(op.Tags) != 1 {
			t.Errorf("%s: summary %q, tags %v", name, op.Summary, op.Tags)
		}
		if about, _, _ := strings.Cut(op.Description, "Scope: "); strings.TrimSpace(about) == "" {
			t.Errorf("%s has no description", name)
		}
		for _, p := range op.Parameters {
			if p.Description == "" || p.Schema == nil {
				t.Errorf("%s: parameter %s is not described", name, p.Name)
			}
		}
		checkAnswers(t, name, op)
	}
	if len(seen) < 7 {
		t.Errorf("only %d operations", len(seen))
	}
}

func checkAnswers(t *testing.T, name string, op *huma.Operation) {
	t.Helper()
	var good, bad int
	for status, answer := range op.Responses {
		if answer.Description == "" {
			t.Errorf("%s: %s is not described", name, status)
		}
		if status < "400" {
			good++
			continue
		}
		bad++
		media := answer.Content["application/problem+json"]
		if media == nil || len(answer.Content) != 1 {
			t.Errorf("%s: %s is no problem", name, status)
			continue
		}
		for _, slug := range strings.Split(answer.Description, ", ") {
			if media.Examples[slug] == nil {
				t.Errorf("%s: %s has no example of %s", name, status, slug)
			}
		}
	}
	if good == 0 || bad == 0 {
		t.Errorf("%s: %d good and %d bad answers", name, good, bad)
	}
}

// Each example is what its schema allows.
func TestOpenAPIExamples(t *testing.T) {
	t.Parallel()
	doc := document(t)
	check := func(where string, media *huma.MediaType) {
		values := map[string]any{}
		if media.Example != nil {
			values["example"] = media.Example
		}
		for name, e := range media.Examples {
			values[name] = e.Value
		}
		if len(values) == 0 {
			t.Errorf("%s has no example", where)
		}
		for name, v := range values {
			for _, err := range violations(doc, media.Schema, v) {
				t.Errorf("%s, %s: %v", where, name, err)
			}
		}
	}
	for _, op := range operations(doc) {
		name := op.Method + " " + op.Path
		if op.RequestBody != nil {
			for _, media := range op.RequestBody.Content {
				check(name, media)
			}
		}
		for status, answer := range op.Responses {
			for _, media := range answer.Content {
				check(name+" "+status, media)
			}
		}
	}
}

// violations are what is wrong with a value by a schema.
func violations(doc *huma.OpenAPI, s *huma.Schema, v any) []error {
	s.PrecomputeMessages()
	for _, shared := range doc.Components.Schemas.Map() {
		for _, part := range shared.OneOf {
			part.PrecomputeMessages()
		}
	}
	for _, part := range s.AllOf {
		part.PrecomputeMessages()
	}
	var result huma.ValidateResult
	huma.Validate(doc.Components.Schemas, s, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, asRead(v), &result)
	return result.Errors
}

// The check of the examples can fail.
func TestOpenAPIViolations(t *testing.T) {
	t.Parallel()
	doc := document(t)
	op := doc.Paths["/v1/reservations"].Post
	for what, v := range map[string]any{
		"nothing":       map[string]any{},
		"no object":     "text",
		"unknown field": map[string]any{"slot_id": "a", "resident": map[string]any{}, "more": 1},
	} {
		if len(violations(doc, op.RequestBody.Content["application/json"].Schema, v)) == 0 {
			t.Errorf("%s is taken as a booking", what)
		}
	}
	for what, v := range map[string]any{
		"another type":   map[string]any{"type": "/problems/none", "title": "", "status": 409, "detail": ""},
		"another status": map[string]any{"type": "/problems/slot-full", "title": "", "status": 410, "detail": ""},
		"no title":       map[string]any{"type": "/problems/slot-full", "status": 409, "detail": ""},
	} {
		if len(violations(doc, op.Responses["409"].Content["application/problem+json"].Schema, v)) == 0 {
			t.Errorf("%s is taken as a problem", what)
		}
	}
}
