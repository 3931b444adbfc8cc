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
<section lang="en"><h2>{{.TitleEn}}</h2><p>{{.DetailEn}}</p></section>
<section lang="ko"><h2>{{.TitleKo}}</h2><p>{{.DetailKo}}</p></section>
<p><a href="/docs">Documentation of the API</a></p>
</body>
</html>
`))

// problemPage is GET /problems/{slug}: what a kind of problem means, in both languages.
func (s *server) problemPage(w http.ResponseWriter, r *http.Request) {
	if rec, ok := w.(*recorder); ok {
		rec.route = "GET /problems/{slug}"
	}
	for i := len(outcomes) - 1; i >= 0; i-- { // of two with one slug, the general one stands behind
		o := outcomes[i]
		if o.slug != r.PathValue("slug") {
			continue
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Cache-Control", "public, max-age=3600")
		_ = problemTemplate.Execute(w, map[string]any{"Slug": o.slug, "Status": o.status,
			"TitleEn": o.title.en, "DetailEn": o.detail.en, "TitleKo": o.title.ko, "DetailKo": o.detail.ko})
		return
	}
	writeProblem(w, r, booking.ErrNotFound)
}
