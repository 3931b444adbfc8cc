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

	seen uint8 // which came, one bit each
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
	var bit uint8
	switch name {
	case "To":
		to, bit = &f.to, 1
	case "From":
		to, bit = &f.from, 1<<1
	case "MessagingServiceSid":
		to, bit = &f.service, 1<<2
	case "Body":
		to, bit = &f.body, 1<<3
	case "StatusCallback":
		to, bit = &f.callback, 1<<4
	case "ValidityPeriod":
		to, bit = &f.validity, 1<<5
	default:
		return
	}
	if f.seen&bit == 0 {
		*to, f.seen = value, f.seen|bit
	}
}
