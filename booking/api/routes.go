package api

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"ansim/booking"
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
	eligibilityBody struct {
		BirthDate string `json:"birth_date" format:"date" example:"1967-03-21"`
	}
	lookupBody struct {
		Code      string `json:"code" minLength:"1" doc:"With or without its dash, in any case." example:"K7Q29-3TX4M"`
		BirthDate string `json:"birth_date" format:"date" example:"1967-03-21"`
	}
	emptyBody struct{}
)

// What is served beside the calls, and what is no route.
const (
	routeDocs        = "GET /docs"
	routeDocsCSS     = "GET /docs.css"
	routeDescription = "GET /openapi.json"
	routeProblem     = "GET /problems/{slug}"
	noRoute          = "none"
)

// Routes are all that Options.Served may be told of: the calls as in OpenAPI ("POST /v1/reservations"), the pages, and "none" for
// what is no route.
func Routes() []string {
	all := []string{routeDocs, routeDocsCSS, routeDescription, routeProblem, noRoute}
	for _, rt := range (&server{}).routes() {
		all = append(all, rt.name())
	}
	return all
}

// name is what the route is called in logs, traces and figures.
func (rt *route) name() string { return rt.method + " " + rt.path }

// routes are the calls of the API.
func (s *server) routes() []*route {
	return slices.Concat(reservationRoutes(), catalogueRoutes(), publicRoutes())
}

// reservationRoutes are the calls about reservations.
func reservationRoutes() []*route {
	return []*route{
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
		{"GET", "/v1/reservations/{id}/timeline", "read", false, operationTexts{
			id: "timeline", summary: "Read a reservation's whole story",
			description: "From the booking to the phone, oldest first: each version, each text, each attempt to send it, and what the provider said of it, with a sentence for people.",
			answers:     map[int]any{200: timelineJSON{}}, problems: []string{"not-found"},
		}, (*call).timeline},
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
}

// catalogueRoutes are the calls about what there is to book.
func catalogueRoutes() []*route {
	return []*route{
		{"GET", "/v1/programmes", "read", false, operationTexts{
			id: "list-programmes", summary: "List the programmes: windows and rules as data",
			description: "All programmes, with server_time to set a clock by. The list may be a second old; who may book is decided when the booking is.",
			answers:     map[int]any{200: programmeList{}},
		}, (*call).listProgrammes},
		{"GET", "/v1/programmes/{id}", "read", false, operationTexts{
			id: "get-programme", summary: "Read a programme: windows and rules as data",
			description: "When it opens and closes, and who may book in it when.",
			answers:     map[int]any{200: programmeJSON{}}, problems: []string{"not-found"},
		}, (*call).getProgramme},
		{"POST", "/v1/programmes/{id}/eligibility", "read", false, operationTexts{
			id: "eligibility", summary: "Ask whether, and when, somebody may book",
			description: "By the programme's rules and the clock that decides bookings. Nothing is kept, and no Idempotency-Key is needed.",
			body:        eligibilityBody{}, answers: map[int]any{200: eligibilityJSON{}}, problems: []string{"not-found", "validation", "too-large"},
		}, (*call).eligibility},
		{"GET", "/v1/slots", "read", false, operationTexts{
			id: "list-slots", summary: "List slots and their free places",
			description: "By time. The list may be a second old, and never waits for bookings nor they for it: a free place is a hint, the booking decides. " +
				"Ask again with the ETag in If-None-Match: 304 as long as no place was taken or freed.",
			query: slotQueryParams(), tagged: true, answers: map[int]any{200: slotList{}}, problems: []string{"validation"},
		}, (*call).listSlots},
	}
}

// publicRoutes are the calls that need no API key.
func publicRoutes() []*route {
	return []*route{
		{"POST", "/v1/lookup", "", false, operationTexts{
			id: "lookup", summary: "Let a person look up their own reservation",
			description: "Needs no API key: who has the code and the birth date may know. There is one answer for a code that does not exist and a birth date that is another. " +
				"Only failures are counted: after ten within an hour a code is not looked up for a while, and an address that fails very often is told to wait.",
			body: lookupBody{}, answers: map[int]any{200: lookupJSON{}}, problems: []string{"not-found", "validation", "too-large", "rate-limited"},
		}, (*call).lookup},
	}
}

func slotQueryParams() []*huma.Param {
	param := func(name, about, example string, schema huma.Schema) *huma.Param {
		p := &huma.Param{Name: name, In: "query", Description: about, Schema: &schema, Required: name == "programme"}
		if example != "" {
			p.Example = example
		}
		return p
	}
	least, most, length := 1.0, float64(booking.MaxSlots), maxID
	id := huma.Schema{Type: huma.TypeString, Pattern: "^[!-~]+$", MaxLength: &length}
	instant := huma.Schema{Type: huma.TypeString, Format: "date-time"}
	return []*huma.Param{
		param("programme", "Of this programme.", "covid-2021-50s", id),
		param("site", "Only at this site.", "", id),
		param("from", "Not before this time; without it, not before now.", "", instant),
		param("to", "Before this time.", "", instant),
		param("cursor", "The next_cursor of the page before.", "", huma.Schema{Type: huma.TypeString}),
		param("limit", "Most slots in a page; 100 unless told.", "", huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most}),
	}
}

func resendExamples() map[string]*huma.Example {
	return map[string]*huma.Example{
		"everybody": {Summary: "To everybody whom the reservation knows", Value: map[string]any{"reason": "The resident says that no text came."}},
		"on the risk of a second copy": {Summary: "To the booker, though the last text may have arrived", Value: map[string]any{
			"reason": "The daughter has lost her phone's messages.", "recipient": "booker", "even_if_unknown": true}},
	}
}
