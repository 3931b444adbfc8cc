package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// quickStart is the way from a key to a cancelled booking, by those of its calls that there are. Each step can be pasted
// into a shell in which the steps before it were; a test does so.
func quickStart(doc *huma.OpenAPI) []docsStep {
	var steps []docsStep
	for _, s := range []struct{ id, title, about, after string }{
		{"list-slots", "Find a free place", "Put in your programme. remaining is a hint: the booking decides.", ""},
		{"book", "Book", "Put in a slot_id of your programme. The answer has the reservation's id, and the code that the person is told. Keep the Idempotency-Key (here: a new one at each call): repeated with the same, the request books nothing more and gets the same answer.",
			` | tee booking.json
ID=$(sed 's/^{"id":"\([^"]*\)".*/\1/' booking.json)
CODE=$(sed 's/.*"code":"\([^"]*\)".*/\1/' booking.json)`},
		{"get", "Look it up", "confirmation says what became of the text.", ""},
		{"search", "Find it by its code", "As when the person calls. Codes and references stay out of URLs, so that no log keeps them.", ""},
		{"reschedule", "Move it", "Claims the new place and frees the old one in one commit, or changes nothing.", ""},
		{"lookup", "Let the person look", "Public: needs no key, only the code and the birth date.", ""},
		{"cancel", "Cancel it", "The place is free at once, and a text says so.", ""},
	} {
		for _, op := range operations(doc) {
			if op.OperationID == s.id {
				steps = append(steps, docsStep{s.title, s.about, curlOf(op) + s.after})
			}
		}
	}
	return steps
}

// curlOf is a call of op for a shell that has ANSIM (the server), KEY, and ID and CODE of a reservation.
func curlOf(op *huma.Operation) string {
	path := op.Path
	query := url.Values{}
	for _, p := range op.Parameters {
		switch value, _ := p.Example.(string); {
		case p.In == "path" && strings.HasPrefix(path, "/v1/reservations/"):
			path = strings.ReplaceAll(path, "{"+p.Name+"}", "$ID")
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", value)
		case p.In == "query" && p.Required:
			query.Set(p.Name, value)
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	parts := []string{`curl -s "$ANSIM` + path + `"`}
	if op.Method != "GET" {
		parts[0] += " -X " + op.Method
	}
	if op.Security == nil {
		parts = append(parts, `-H "Authorization: Bearer $KEY"`)
	}
	if slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == headerKey }) {
		parts = append(parts, `-H "Idempotency-Key: $(openssl rand -hex 16)"`)
	}
	if op.RequestBody != nil && op.RequestBody.Required {
		parts = append(parts, `-H 'Content-Type: application/json'`, `-d '`+shellBody(op.RequestBody.Content["application/json"])+`'`)
	}
	return strings.Join(parts, " \\\n  ")
}

// shellBody is the body of an example, for between single quotes; a code in it is that of the shell.
func shellBody(media *huma.MediaType) string {
	value := media.Example
	if value == nil {
		for _, name := range slices.Sorted(maps.Keys(media.Examples)) {
			value = media.Examples[name].Value
			break
		}
	}
	body := strings.ReplaceAll(indented(value), `'`, `'\''`)
	if object, ok := value.(map[string]any); ok && object["code"] != nil {
		body = strings.Replace(body, `"code": `+indented(object["code"]), `"code": "'"$CODE"'"`, 1)
	}
	return body
}

// indented is v as JSON for people, "" when there is none.
func indented(v any) string {
	if v == nil {
		return ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		panic("api: an example cannot be written: " + err.Error()) // a mistake in this package, which every test would show
	}
	return strings.TrimSpace(b.String())
}
