package page

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"

	"github.com/google/uuid"
)

// Templates are a set of pages in both languages. They say words by name, {{t "name"}}, and know the stylesheet's address,
// {{style}}, that of the script, {{script}}, and a fresh nonce for a form, {{nonce}}.
type Templates map[Language]*template.Template

// Parse reads the pages, *.html, of files. It panics on what cannot be read, as they are part of the program.
func Parse(files fs.FS, words map[string]Text) Templates {
	of := func(l Language) *template.Template {
		return template.Must(template.New("").Funcs(template.FuncMap{
			"t": func(name string) (string, error) {
				w, ok := words[name]
				if !ok {
					return "", fmt.Errorf("no words for %s", name)
				}
				return w.In(l), nil
			},
			"style":  StylePath,
			"script": ScriptPath,
			"nonce":  uuid.NewString,
		}).ParseFS(files, "*.html"))
	}
	return Templates{Korean: of(Korean), English: of(English)}
}

// Write answers with a page, whole or not at all: what cannot be made is an error, of which nothing has been sent.
func (t Templates) Write(w http.ResponseWriter, code int, l Language, name string, view any) error {
	var b bytes.Buffer
	if err := t[l].ExecuteTemplate(&b, name+".html", view); err != nil {
		return fmt.Errorf("make the page %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(l))
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
	return nil
}

// Mistake is what is wrong with a field of a form, and what to do. Field is its id, to which the summary leads.
type Mistake struct{ Field, Says string }

// Mistakes are those of a form, in its order.
type Mistakes []Mistake

// Add says in a language what is wrong with a field; args are for the words' verbs.
func (m *Mistakes) Add(l Language, field string, says Text, args ...any) {
	s := says.In(l)
	if len(args) > 0 {
		s = fmt.Sprintf(s, args...)
	}
	*m = append(*m, Mistake{field, s})
}

// Of is what is wrong with a field, "" when nothing is.
func (m Mistakes) Of(field string) string {
	for _, x := range m {
		if x.Field == field {
			return x.Says
		}
	}
	return ""
}

// Reason is what people are told of an error.
type Reason struct {
	Err  error
	Says Text
}

// ReasonOf finds what is said of err, the first that matches; false when people are told nothing of it.
func ReasonOf(reasons []Reason, err error) (Text, bool) {
	for _, r := range reasons {
		if errors.Is(err, r.Err) {
			return r.Says, true
		}
	}
	return Text{}, false
}
