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

// The bodies that are read, for the description alone: readBook and its kin are what checks them. A test holds the two
// together.
type (
	bookBody struct {
		SlotID    string       `json:"slot_id" minLength:"1" maxLength:"100" pattern:"^[!-~]+$" doc:"Of the programme file." example:"gangnam-0726-1030"`
		Resident  residentBody `json:"resident"`
		BookedBy  *bookerBody  `json:"booked_by,omitempty" doc:"Who books for the resident, and gets a text too."`
		Language  string       `json:"language,omitempty" enum:"ko,en" default:"ko" doc:"Of the texts."`
		Reference string       `json:"reference,omitempty" maxLength:"100" doc:"Your own; to search by." example:"A-1029"`
	}
	residentBody struct {
		Identity  string `json:"identity" minLength:"1" maxLength:"200" doc:"Opaque, from your identity provider; the same for the same person. Only its keyed hash is kept." example:"ci-8f14e45f"`
		Name      string `json:"name" minLength:"1" maxLength:"60" example:"홍길동"`
		BirthDate string `json:"birth_date" format:"date" example:"1967-03-21"`
		Phone     string `json:"phone" minLength:"1" maxLength:"40" doc:"With its country code, unless it is Korean." example:"+821012345678"`
	}
	bookerBody struct {
		Name  string `json:"name" minLength:"1" maxLength:"60" example:"홍보람"`
		Phone string `json:"phone" minLength:"1" maxLength:"40" example:"+821087654321"`
	}
	searchBody struct {
		Code      string `json:"code,omitempty" minLength:"1" doc:"With or without its dash, in any case." example:"K7Q29-3TX4M"`
		Reference string `json:"reference,omitempty" minLength:"1" maxLength:"100" example:"A-1029"`
	}
	rescheduleBody struct {
		SlotID string `json:"slot_id" minLength:"1" maxLength:"100" pattern:"^[!-~]+$" doc:"Of the same programme." example:"gangnam-0726-1100"`
	}
	contactBody struct {
		Name     string `json:"name,omitempty" minLength:"1" maxLength:"60" example:"홍길동"`
		Phone    string `json:"phone,omitempty" minLength:"1" maxLength:"40" doc:"With its country code, unless it is Korean." example:"+821011112222"`
		Language string `json:"language,omitempty" enum:"ko,en" doc:"Of the texts." example:"ko"`
	}
	resendBody struct {
		Reason        string `json:"reason" minLength:"1" maxLength:"200" doc:"Why, in your own words, for who reads the reservation's story later. No names and no numbers of people." example:"The resident says that no text came."`
		Recipient     string `json:"recipient,omitempty" enum:"resident,booker,both" default:"both" doc:"Whose text; both is everybody whom the reservation knows." example:"resident"`
		EvenIfUnknown bool   `json:"even_if_unknown,omitempty" default:"false" doc:"Send also while it is not known whether the last text was sent, or while its sender does not know of it: the person may get it twice." example:"false"`
	}
	emptyBody struct{}
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
}

// routes are the calls of the API.
func (s *server) routes() []*route {
	routes := []*route{
		{"POST", "/v1/reservations", "book", true, operationTexts{
			id: "book", summary: "Book a place for a person",
			description: "201 with a new reservation. 200 with the one that exists, when the same client books the same person with the same contact data into the same slot again. The reservation, its event and the answer to this Idempotency-Key are committed together.",
			body:        bookBody{}, answers: map[int]any{201: reservationJSON{}, 200: reservationJSON{}},
			problems: []string{"not-open-yet", "window-closed", "not-eligible", "not-found", "slot-full", "already-booked"},
		}, (*call).book},
		{"GET", "/v1/reservations/{id}", "read", false, operationTexts{
			id: "get", summary: "Read a reservation and what became of its texts",
			description: "confirmation.state goes from pending over sent to delivered; what stands in the way has a reason. A key reads only what was booked with keys of the same client.",
			answers:     map[int]any{200: reservationJSON{}}, problems: []string{"not-found"},
		}, (*call).get},
		{"POST", "/v1/reservations/search", "read", false, operationTexts{
			id: "search", summary: "Find reservations by code or reference",
			description: "Send exactly one of the two. What is not found is an empty list.",
			body:        searchBody{}, answers: map[int]any{200: reservationList{}},
			problems: []string{"validation", "too-large"},
		}, (*call).search},
		{"POST", "/v1/reservations/{id}/cancel", "book", true, operationTexts{
			id: "cancel", summary: "Cancel a reservation",
			description: "Frees its place at once. The body is empty, or an empty object.",
			body:        emptyBody{}, bodyOptional: true, ifMatch: true, answers: map[int]any{200: reservationJSON{}},
			problems: []string{"not-found", "not-changeable", "version-mismatch"},
		}, (*call).cancel},
		{"POST", "/v1/reservations/{id}/reschedule", "book", true, operationTexts{
			id: "reschedule", summary: "Move a reservation to another slot",
			description: "Claims the new place and frees the old one in one commit, or changes nothing; its code stays. " +
				"It is let in as a booking of that slot would be at that moment: the window, the rules and the places decide. A move to the slot that it has changes nothing and sends no text.",
			body: rescheduleBody{}, ifMatch: true, answers: map[int]any{200: reservationJSON{}},
			problems: []string{"not-open-yet", "window-closed", "not-eligible", "not-found", "slot-full", "not-changeable", "version-mismatch"},
		}, (*call).reschedule},
		{"POST", "/v1/reservations/{id}/contact", "book", true, operationTexts{
			id: "contact", summary: "Correct the resident's name, number or language",
			description: "What is left out stays as it is. The reservation gets a new version, and everybody whom it knows a new text; the resident at the new number. What changes nothing sends no text.",
			body:        contactBody{}, ifMatch: true, answers: map[int]any{200: reservationJSON{}},
			problems: []string{"not-found", "not-changeable", "version-mismatch"},
		}, (*call).contact},
		{"POST", "/v1/reservations/{id}/resend", "resend", true, operationTexts{
			id: "resend", summary: "Send the texts of a reservation again",
			description: "The texts of its present version, to the numbers that it has now. 202: the request is committed, and its texts are on their way; the reservation says what becomes of them. " +
				"Refused within 60 seconds of the last change or resend and while the last text is still on its way (rate-limited), while it is not known whether that one was sent (outcome-unknown), and from the appointment on (not-changeable). " +
				"The first two refusals are not remembered: the same Idempotency-Key may pass later.",
			body: resendBody{}, bodies: resendExamples(), answers: map[int]any{202: reservationJSON{}},
			problems: []string{"not-found", "not-changeable", "outcome-unknown", "rate-limited"},
		}, (*call).resend},
	}
	if s.programmes != nil {
		routes = append(routes,
			&route{"GET", "/v1/programmes", "read", false, operationTexts{
				id: "list-programmes", summary: "List the programmes: windows and rules as data",
				description: "All programmes, with server_time to set a clock by. The list may be a second old; who may book is decided when the booking is.",
				answers:     map[int]any{200: programmeList{}},
			}, (*call).listProgrammes},
			&route{"GET", "/v1/programmes/{id}", "read", false, operationTexts{
				id: "get-programme", summary: "Read a programme: windows and rules as data",
				description: "When it opens and closes, and who may book in it when.",
				answers:     map[int]any{200: programmeJSON{}}, problems: []string{"not-found"},
			}, (*call).getProgramme})
	}
	return routes
}

func resendExamples() map[string]*huma.Example {
	return map[string]*huma.Example{
		"everybody": {Summary: "To everybody whom the reservation knows", Value: map[string]any{"reason": "The resident says that no text came."}},
		"on the risk of a second copy": {Summary: "To the booker, though the last text may have arrived", Value: map[string]any{
			"reason": "The daughter has lost her phone's messages.", "recipient": "booker", "even_if_unknown": true}},
	}
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
		Description: strings.TrimSpace(rt.about.description + "\n\nScope: " + rt.scope + "."), Responses: map[string]*huma.Response{}}
	text := func(limit int) *huma.Schema { return &huma.Schema{Type: huma.TypeString, MaxLength: &limit} }
	param := func(in, name, about string, required bool, schema *huma.Schema) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: in, Description: about, Required: required, Schema: schema})
	}
	if strings.Contains(rt.path, "{id}") {
		param("path", "id", "From the answers of this API.", true, text(maxID))
	}
	slugs := append([]string{"unauthorized", "forbidden", "overloaded", "internal"}, rt.about.problems...)
	if rt.changes {
		key := text(255)
		key.Pattern = "^[!-~]+$"
		param("header", headerKey, "Yours, one for each thing you want done. The same key and body get the same answer again; a key lives until 72 hours after its programme closed.", true, key)
		slugs = append(slugs, "idempotency-key-missing", "validation", "idempotency-key-reused", "idempotency-in-progress", "too-large")
	}
	if rt.about.ifMatch {
		param("header", "If-Match", "The ETag that the reservation must have.", false, &huma.Schema{Type: huma.TypeString, Pattern: ifMatchPattern})
	}
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

// answerHeaders are those of an answer that is a reservation.
func (rt *route) answerHeaders(status int) map[string]*huma.Param {
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
			rec.route = "GET /openapi.json"
		}
		r.SetHeader("Content-Type", "application/openapi+json")
		r.SetHeader("Cache-Control", "public, max-age=300")
		_, _ = w.Write(document)
	}
}
