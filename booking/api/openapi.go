package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// operationTexts is what the description says of a route.
type operationTexts struct {
	id, summary, description string
	body                     any // nil: none
	bodies                   map[string]*huma.Example
	bodyOptional             bool
	answers                  map[int]any
	problems                 []string // slugs beside those that the route's kind implies
	ifMatch                  bool
	query                    []*huma.Param
	tagged                   bool // the answer has an ETag, and If-None-Match may save it
}

// description is the document without its routes.
func description() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{Title: "ansim", Version: "1",
			Description: "Books a place for a person and makes sure that the person knows it. Problems are RFC 9457 documents, in Korean when Accept-Language asks for it and in English otherwise; their type says what they mean: /problems/{slug}."},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"key": {Type: "http", Scheme: "bearer", Description: "An API key, made with ansim keys create."},
			},
		},
		Security: []map[string][]string{{"key": {}}},
	}
}

// schemaName calls reservationJSON Reservation, and bookBody BookRequest.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if base, ok := strings.CutSuffix(name, "JSON"); ok {
		return base
	}
	if base, ok := strings.CutSuffix(name, "Body"); ok && name != "ProblemBody" {
		return base + "Request"
	}
	return strings.TrimSuffix(name, "Body")
}

// operation describes rt.
func (rt *route) operation(schemas huma.Registry) *huma.Operation {
	op := &huma.Operation{Method: rt.method, Path: rt.path, OperationID: rt.about.id, Summary: rt.about.summary,
		Description: rt.about.description, Responses: map[string]*huma.Response{}}
	text := func(limit int) *huma.Schema { return &huma.Schema{Type: huma.TypeString, MaxLength: &limit} }
	param := func(in, name, about string, required bool, schema *huma.Schema) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: in, Description: about, Required: required, Schema: schema})
	}
	if strings.Contains(rt.path, "{id}") {
		param("path", "id", "From the answers of this API.", true, text(maxID))
	}
	slugs := append([]string{"overloaded", "internal"}, rt.about.problems...)
	if rt.scope == "" {
		op.Security = []map[string][]string{} // not nil: none is needed, whatever the document says of all
	} else {
		op.Description += "\n\nScope: " + rt.scope + "."
		slugs = append(slugs, "unauthorized", "forbidden", "rate-limited")
	}
	if rt.changes {
		key := text(255)
		key.Pattern = "^[!-~]+$"
		param("header", headerKey, "Yours, one for each thing you want done. The same key and body get the same answer again; a key lives until 72 hours after its programme closed.", true, key)
		slugs = append(slugs, "idempotency-key-missing", "validation", "idempotency-key-reused", "idempotency-in-progress", "too-large")
	}
	if rt.about.ifMatch {
		param("header", "If-Match", "The ETag that the reservation must have.", false, &huma.Schema{Type: huma.TypeString, Pattern: ifMatchPattern})
	}
	if rt.about.tagged {
		param("header", "If-None-Match", "The ETag of the answer that you have.", false, &huma.Schema{Type: huma.TypeString})
		op.Responses["304"] = &huma.Response{Description: "Not Modified", Headers: rt.answerHeaders(http.StatusNotModified)}
	}
	op.Parameters = append(op.Parameters, rt.about.query...)
	param("header", "Accept-Language", "Of problems and explanations: ko or en; en when it says neither.", false, &huma.Schema{Type: huma.TypeString})
	if rt.about.body != nil {
		op.RequestBody = &huma.RequestBody{Required: !rt.about.bodyOptional, Content: map[string]*huma.MediaType{
			"application/json": {Schema: schemas.Schema(reflect.TypeOf(rt.about.body), true, ""), Examples: rt.about.bodies}}}
	}
	for status, v := range rt.about.answers {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{
			"application/json": {Schema: schemas.Schema(reflect.TypeOf(v), true, "")}}, Headers: rt.answerHeaders(status)}
	}
	describeProblems(op, schemas, slugs)
	return op
}

// loosen says of the schemas what their Go types cannot: answers may get further fields, and a search has one of two.
func loosen(schemas huma.Registry) {
	for name, schema := range schemas.Map() {
		if !strings.HasSuffix(name, "Request") {
			schema.AdditionalProperties = nil
		}
		if name == "ContactRequest" {
			schema.AnyOf = []*huma.Schema{only("name"), only("phone"), only("language")}
		}
		if name == "SearchRequest" {
			schema.OneOf = []*huma.Schema{only("code"), only("reference")}
		}
	}
}

// only is an object with that text, whatever else it has.
func only(name string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Required: []string{name}, Properties: map[string]*huma.Schema{name: {Type: huma.TypeString}}}
}

// answerHeaders are those of an answer that is a reservation, or has an ETag all the same.
func (rt *route) answerHeaders(status int) map[string]*huma.Param {
	if rt.about.tagged {
		return map[string]*huma.Param{"ETag": {Description: "Changes with what is listed.", Schema: &huma.Schema{Type: huma.TypeString}}}
	}
	if _, ok := rt.about.answers[status].(reservationJSON); !ok {
		return nil
	}
	header := func(about string) *huma.Param {
		return &huma.Param{Description: about, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	h := map[string]*huma.Param{"ETag": header("The reservation's version, in quotes.")}
	if status == http.StatusCreated {
		h["Location"] = header("The reservation's path.")
	}
	if rt.changes {
		h[headerReplayed] = header("true: the answer of an earlier request with this key.")
	}
	return h
}

// describeProblems adds a response for each status that the slugs have.
func describeProblems(op *huma.Operation, schemas huma.Registry, slugs []string) {
	byStatus, waits := map[int][]string{}, map[int]bool{}
	for _, o := range outcomes {
		if !slices.Contains(slugs, o.slug) {
			continue
		}
		if !slices.Contains(byStatus[o.status], o.slug) {
			byStatus[o.status] = append(byStatus[o.status], o.slug)
		}
		waits[o.status] = waits[o.status] || o.retry != ""
	}
	for status, list := range byStatus {
		r := &huma.Response{Description: strings.Join(list, ", "), Content: map[string]*huma.MediaType{
			"application/problem+json": {Schema: problemSchema(schemas.Schema(reflect.TypeFor[problemBody](), true, ""), status, list)}}}
		if waits[status] {
			r.Headers = map[string]*huma.Param{"Retry-After": {Description: "When asking again makes sense, in seconds; absent when it never does.",
				Schema: &huma.Schema{Type: huma.TypeInteger}}}
		}
		op.Responses[strconv.Itoa(status)] = r
	}
}

// serveDescription is GET /openapi.json. The document is written once, here: huma's own route writes it at the first
// request, and two first requests would race.
func serveDescription(api huma.API) func(huma.Context) {
	document, err := json.Marshal(api.OpenAPI())
	if err != nil {
		panic("api: its description cannot be written: " + err.Error()) // a mistake in this file, which every test would show
	}
	return func(ctx huma.Context) {
		r, w := ctx, ctx.BodyWriter()
		if rec, ok := w.(*recorder); ok {
			rec.route = routeDescription
		}
		r.SetHeader("Content-Type", "application/openapi+json")
		r.SetHeader("Cache-Control", "public, max-age=300")
		_, _ = w.Write(document)
	}
}
