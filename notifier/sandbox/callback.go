package sandbox

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"hash"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// target is where the callbacks of a text go: its StatusCallback, taken apart.
type target struct {
	secure bool
	host   string // with its port
	name   string // what the Host header says
	path   string // with the query, as it was given
	signed string // the URL that is signed: as it was given, without the fragment
	token  string // the last part of the path
	retry  overrides
}

var errTarget = errors.New("sandbox: a StatusCallback is an http or https URL of this machine")

// parseTarget reads a StatusCallback. A sandbox must not be made to call strangers, so it refuses other machines.
func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Opaque != "" || strings.Contains(raw, " ") {
		return target{}, errTarget
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return target{}, errTarget
	}
	signed, fragment, _ := strings.Cut(raw, "#")
	t := target{secure: u.Scheme == "https", host: u.Host, name: u.Host, path: u.RequestURI(), signed: signed, retry: parseOverrides(fragment)}
	if u.Port() == "" {
		port := "80"
		if t.secure {
			port = "443"
		}
		t.host = net.JoinHostPort(u.Hostname(), port)
	}
	if last := path.Base(u.Path); last != "." && last != "/" {
		t.token = last
	}
	return t, nil
}

// overrides are how often, and after what, a callback is tried again. Twilio takes them from the URL's fragment, which
// it neither sends nor signs: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
type overrides struct {
	retries                         int  // rc, 0 to 5; default 1
	connect, read, status4, status5 bool // rp: ct, rt, 4xx, 5xx; default ct alone
}

// parseOverrides reads rc and rp from a fragment like "rc=2&rp=5xx,ct". Values that Twilio would not know leave the default.
func parseOverrides(fragment string) overrides {
	o := overrides{retries: 1, connect: true}
	values, err := url.ParseQuery(fragment)
	if err != nil {
		return o
	}
	if n, err := strconv.Atoi(values.Get("rc")); err == nil && n >= 0 && n <= 5 {
		o.retries = n
	}
	if !values.Has("rp") {
		return o
	}
	asked := overrides{retries: o.retries}
	for policy := range strings.SplitSeq(values.Get("rp"), ",") {
		switch policy {
		case "4xx":
			asked.status4 = true
		case "5xx":
			asked.status5 = true
		case "ct":
			asked.connect = true
		case "rt":
			asked.read = true
		case "all":
			asked.connect, asked.read, asked.status4, asked.status5 = true, true, true, true
		default:
			return o
		}
	}
	return asked
}

// verdict is how a callback ended.
type verdict int

const (
	taken    verdict = iota
	refused4         // with a status of 400 to 499
	refused5         // of 500 or more
	unmade           // no connection could be made: nothing was said
	unheard          // a connection was there, but no whole answer came
)

// repeats says whether a callback that ended so is worth a further try.
func (o overrides) repeats(v verdict) bool {
	switch v {
	case refused4:
		return o.status4
	case refused5:
		return o.status5
	case unmade:
		return o.connect
	case unheard:
		return o.read
	}
	return false
}

// parameter is one of a callback.
type parameter struct{ name, value string }

// parametersOf are a callback's parameters, sorted by name, as the signature needs them.
func parametersOf(m *message, x call) []parameter {
	all := [...]parameter{
		{"AccountSid", m.Account}, {"ApiVersion", apiVersion}, {"ErrorCode", ""}, {"From", m.From}, {"MessageSid", m.SID},
		{"MessageStatus", string(x.status)}, {"MessagingServiceSid", m.Service}, {"RawDlrDoneDate", ""}, {"SmsSid", m.SID},
		{"SmsStatus", string(x.status)}, {"To", m.To},
	}
	if x.code != 0 {
		all[2].value = strconv.Itoa(x.code)
	}
	if x.status == Delivered || x.status == Undelivered {
		all[7].value = x.at.UTC().Format("0601021504") // the carrier's receipt: YYMMDDhhmm
	}
	return slices.DeleteFunc(all[:], func(p parameter) bool { return p.value == "" })
}

// writer makes requests; it is for one goroutine, and its memory is used again and again.
type writer struct {
	mac               hash.Hash // under the auth token
	form, signed, out []byte
}

func newWriter(authToken string) *writer { return &writer{mac: hmac.New(sha1.New, []byte(authToken))} }

// request is a callback as it travels, valid until the next. As Twilio's, it is signed by the HMAC-SHA1, under the auth
// token, of the URL followed by each parameter's name and value; and its idempotency token is the same for each try.
func (w *writer) request(t *target, m *message, x call) []byte {
	parameters := parametersOf(m, x)
	w.form = appendForm(w.form[:0], parameters)
	w.signed = append(w.signed[:0], t.signed...)
	for _, p := range parameters {
		w.signed = append(append(w.signed, p.name...), p.value...)
	}
	w.mac.Reset()
	_, _ = w.mac.Write(w.signed) // a hash never fails
	out := append(append(append(w.out[:0], "POST "...), t.path...), " HTTP/1.1\r\nHost: "...)
	out = append(append(out, t.name...), "\r\nUser-Agent: TwilioProxy/1.1\r\nContent-Type: application/x-www-form-urlencoded; charset=UTF-8"...)
	out = strconv.AppendInt(append(out, "\r\nContent-Length: "...), int64(len(w.form)), 10)
	var sum [sha1.Size]byte
	out = base64.StdEncoding.AppendEncode(append(out, "\r\nX-Twilio-Signature: "...), w.mac.Sum(sum[:0]))
	out = append(append(append(append(out, "\r\nI-Twilio-Idempotency-Token: "...), m.SID...), '-'), x.status...)
	w.out = append(append(out, "\r\n\r\n"...), w.form...)
	return w.out
}

// appendForm adds parameters as a form's body.
func appendForm(dst []byte, parameters []parameter) []byte {
	for i, p := range parameters {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = appendEscaped(append(append(dst, p.name...), '='), p.value)
	}
	return dst
}

// appendEscaped adds a value as url.QueryEscape writes it.
func appendEscaped(dst []byte, value string) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range []byte(value) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
			dst = append(dst, c)
		case c == ' ':
			dst = append(dst, '+')
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}
