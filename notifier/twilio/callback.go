package twilio

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio's signature is HMAC-SHA1
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ansim/notifier"
)

var (
	// ErrUnknownAttempt is what Receive returns for a token that no attempt has.
	ErrUnknownAttempt = errors.New("no attempt has this token")
	// ErrBusy is what Receive returns when it takes nothing more for now.
	ErrBusy = errors.New("too much waits to be stored")
)

// Receipt is what a status callback says.
type Receipt struct {
	Token     string // of the attempt
	SID       string
	Status    string // one of Twilio's words for an outgoing text
	ErrorCode int    // 0 when none
	// Disposition is what the error code means for a further attempt, "" when there is none.
	Disposition notifier.Disposition
}

// CallbackOptions are the settings of the callback endpoint.
type CallbackOptions struct {
	// AccountSID is the account whose callbacks are taken.
	AccountSID string
	// Tokens are the account's auth tokens by which callbacks may be signed: the current one and, during a rotation, the
	// previous one. None may be empty.
	Tokens []string
	// PublicURL is this service's address seen from outside, over which Twilio signs.
	PublicURL string
	// Receive stores a receipt. It returns ErrUnknownAttempt for a token that no attempt has, and ErrBusy when it takes nothing more.
	Receive func(context.Context, Receipt) error
	// Log gets refusals, without numbers. Default: discard.
	Log *slog.Logger
}

// overrides is what the URL of our callbacks asks of Twilio, as a fragment, which is not sent to us: to try again up to three
// times when it could not connect or got no answer (ct, rt), and when we answered 5xx. All tries end within 15 s, so they
// bridge a restart, not an outage. Without it Twilio tries once again, and only after failing to connect.
// Source: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides, which excludes Conversations and
// Frontline alone.
const overrides = "#rc=3&rp=ct,rt,5xx"

// maxForm is how long a callback's body may be; Twilio's are below 1 kB.
const maxForm = 64 << 10

type callback struct {
	account string
	secrets []string
	urls    func(path string) []string // under which Twilio may have signed, see signedURLs
	receive func(context.Context, Receipt) error
	log     *slog.Logger
}

// NewCallback makes the endpoint for POST StatusPath + token. It answers 204 when the receipt is stored, 400 to what is no
// callback of ours, 403 to a signature that fits neither auth token, 404 to an unknown attempt, 503 when too much waits
// to be stored, and 500 when the receipt could not be stored for another reason.
//
// After a 5xx Twilio tries again for some seconds, because the URL asks for it (see overrides); after a longer outage the
// receipt is gone, and asking for the text's status is what fills the gap.
func NewCallback(o CallbackOptions) (http.Handler, error) {
	if !accountForm.MatchString(o.AccountSID) {
		return nil, fmt.Errorf("%w: TWILIO_ACCOUNT_SID must be AC and 32 hexadecimal digits", ErrSettings)
	}
	if len(o.Tokens) == 0 || slices.Contains(o.Tokens, "") {
		return nil, fmt.Errorf("%w: an empty auth token would let anybody sign callbacks", ErrSettings)
	}
	public, err := outside(o.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("%w: ANSIM_PUBLIC_URL %w", ErrSettings, err)
	}
	if o.Receive == nil {
		return nil, fmt.Errorf("%w: nobody receives the callbacks", ErrSettings)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &callback{
		account: o.AccountSID, secrets: slices.Clone(o.Tokens), urls: signedURLs(public), receive: o.Receive, log: o.Log,
	}, nil
}

// signedURLs gives the URLs under which Twilio may have signed a callback to a path: it is inconsistent about a port that the
// scheme implies, and its own libraries try both. The fragment takes no part in its signature; a stand-in that signs what it
// was given is believed, too, for it needs the auth token just as well.
func signedURLs(u *url.URL) func(path string) []string {
	implied := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	bases := []string{u.String()}
	other := *u
	switch u.Port() {
	case "":
		other.Host = u.Host + ":" + implied
		bases = append(bases, other.String())
	case implied:
		other.Host = strings.TrimSuffix(u.Host, ":"+implied)
		bases = append(bases, other.String())
	}
	return func(path string) []string {
		var urls []string
		for _, base := range bases {
			urls = append(urls, base+path, base+path+overrides)
		}
		return urls
	}
}

// refusal is an answer that is not 204.
type refusal struct {
	status int
	reason string // for the log and the answer; says nothing of the content
}

func (r *refusal) Error() string { return r.reason }

// ServeHTTP implements http.Handler.
func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	receipt, err := c.read(w, r)
	if err == nil {
		err = c.receive(r.Context(), receipt)
	}
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var no *refusal
	switch {
	case errors.As(err, &no):
		c.log.WarnContext(r.Context(), "callback refused", "status", no.status, "reason", no.reason)
	case errors.Is(err, ErrUnknownAttempt):
		no = &refusal{http.StatusNotFound, "unknown attempt"}
		c.log.WarnContext(r.Context(), "callback refused", "status", no.status, "reason", no.reason, "attempt", receipt.Token)
	case errors.Is(err, ErrBusy):
		no = &refusal{http.StatusServiceUnavailable, "busy"}
		c.log.WarnContext(r.Context(), "callback not stored", "attempt", receipt.Token, "error", err)
	default:
		no = &refusal{http.StatusInternalServerError, "not stored"}
		c.log.ErrorContext(r.Context(), "callback not stored", "attempt", receipt.Token, "error", err)
	}
	if no.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	http.Error(w, no.reason, no.status)
}

// read checks a request and takes the receipt out of it. Nothing in it is believed before the signature fits.
func (c *callback) read(w http.ResponseWriter, r *http.Request) (Receipt, error) {
	token, under := strings.CutPrefix(r.URL.Path, StatusPath)
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method != http.MethodPost:
		return Receipt{}, &refusal{http.StatusMethodNotAllowed, "POST only"}
	case !under || r.URL.RawPath != "" || !tokenForm.MatchString(token):
		return Receipt{}, &refusal{http.StatusBadRequest, "malformed path"}
	case r.URL.RawQuery != "" || r.URL.ForceQuery:
		return Receipt{}, &refusal{http.StatusBadRequest, "query string"}
	case err != nil || media != "application/x-www-form-urlencoded" || len(r.Header.Values("Content-Type")) != 1:
		return Receipt{}, &refusal{http.StatusBadRequest, "not a form"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return Receipt{}, &refusal{http.StatusRequestEntityTooLarge, "too large"}
		}
		return Receipt{}, &refusal{http.StatusBadRequest, "unreadable"}
	}
	form, err := parseForm(string(body))
	if err != nil {
		return Receipt{}, &refusal{http.StatusBadRequest, err.Error()}
	}
	if given := r.Header.Values("X-Twilio-Signature"); len(given) != 1 || !c.signed(StatusPath+token, form, given[0]) {
		return Receipt{}, &refusal{http.StatusForbidden, "signature"}
	}
	receipt, err := statusOf(form, c.account)
	if err != nil {
		return Receipt{}, &refusal{http.StatusBadRequest, err.Error()}
	}
	receipt.Token = token
	return receipt, nil
}

// signed says whether the signature is one of ours over the configured public URL: what the request says of its host is not
// asked. Every combination is computed, and compared in constant time.
func (c *callback) signed(path string, form map[string]string, given string) bool {
	fits, fields := 0, signedFields(form)
	for _, secret := range c.secrets {
		for _, url := range c.urls(path) {
			fits |= subtle.ConstantTimeCompare([]byte(signature(secret, url, fields)), []byte(given))
		}
	}
	return fits == 1
}

// Sign is Twilio's signature of a callback: base64 of HMAC-SHA1, by the auth token, over the URL followed by each key and
// value in the order of the keys. Source: https://www.twilio.com/docs/usage/security#validating-requests
func Sign(authToken, url string, form map[string]string) string {
	return signature(authToken, url, signedFields(form))
}

func signature(authToken, url, fields string) string {
	mac := hmac.New(sha1.New, []byte(authToken))
	_, _ = io.WriteString(mac, url)
	_, _ = io.WriteString(mac, fields)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// signedFields is the part of the signed bytes that is made of the form.
func signedFields(form map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(form)) {
		b.WriteString(k)
		b.WriteString(form[k])
	}
	return b.String()
}
