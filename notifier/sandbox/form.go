package sandbox

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// textForm are the parameters of a request for a text; as with url.Values.Get, of those that come twice the first.
type textForm struct {
	to, from, service, body, callback, validity string
}

var (
	errFormTooLarge = errors.New("the form is too large")
	errForm         = errors.New("the form cannot be read")
)

// readForm reads a request for a text. A request of another content type has no parameters. buf is the caller's to use again.
func readForm(r *http.Request, buf *bytes.Buffer) (textForm, error) {
	if r.ContentLength > formLimit {
		return textForm{}, errFormTooLarge
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return textForm{}, nil
	}
	buf.Reset()
	if _, err := buf.ReadFrom(io.LimitReader(r.Body, formLimit+1)); err != nil {
		return textForm{}, err
	}
	if buf.Len() > formLimit {
		return textForm{}, errFormTooLarge
	}
	return parseForm(buf.Bytes())
}

// parseForm accepts what url.ParseQuery accepts, and keeps nothing of raw.
func parseForm(raw []byte) (f textForm, err error) {
	for len(raw) > 0 {
		var pair []byte
		pair, raw, _ = bytes.Cut(raw, []byte("&"))
		if len(pair) == 0 {
			continue
		}
		if bytes.IndexByte(pair, ';') >= 0 {
			return f, errForm
		}
		name, escaped, _ := bytes.Cut(pair, []byte("="))
		key := string(name)
		if bytes.ContainsAny(name, "%+") {
			if key, err = url.QueryUnescape(key); err != nil {
				return f, errForm
			}
		}
		value, err := url.QueryUnescape(string(escaped))
		if err != nil {
			return f, errForm
		}
		f.keep(key, value)
	}
	return f, nil
}

func (f *textForm) keep(name, value string) {
	var to *string
	switch name {
	case "To":
		to = &f.to
	case "From":
		to = &f.from
	case "MessagingServiceSid":
		to = &f.service
	case "Body":
		to = &f.body
	case "StatusCallback":
		to = &f.callback
	case "ValidityPeriod":
		to = &f.validity
	default:
		return
	}
	if *to == "" {
		*to = value
	}
}
