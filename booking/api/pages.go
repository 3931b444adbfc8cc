package api

import (
	"html/template"
	"net/http"

	"ansim/booking"
)

// problemTemplate is what a problem's type leads to.
var problemTemplate = template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Slug}}</title></head>
<body>
<h1>{{.Status}} {{.Slug}}</h1>
{{range .Means}}<section lang="en"><h2>{{.TitleEn}}</h2><p>{{.DetailEn}}</p></section>
<section lang="ko"><h2>{{.TitleKo}}</h2><p>{{.DetailKo}}</p></section>
{{end}}<p><a href="/docs">Documentation of the API</a></p>
</body>
</html>
`))

// problemPage is GET /problems/{slug}: what a kind of problem means, in both languages.
func (s *server) problemPage(w http.ResponseWriter, r *http.Request) {
	if rec, ok := w.(*recorder); ok {
		rec.route = routeProblem
	}
	type meaning struct{ TitleEn, DetailEn, TitleKo, DetailKo string }
	var means []meaning
	status := 0
	for i := len(outcomes) - 1; i >= 0; i-- { // of several with one slug, the general one stands behind
		if o := outcomes[i]; o.slug == r.PathValue("slug") {
			means, status = append(means, meaning{o.title.en, o.detail.en, o.title.ko, o.detail.ko}), o.status
		}
	}
	if len(means) > 0 {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Cache-Control", "public, max-age=3600")
		_ = problemTemplate.Execute(w, map[string]any{"Slug": r.PathValue("slug"), "Status": status, "Means": means})
		return
	}
	writeProblem(w, r, booking.ErrNotFound)
}
