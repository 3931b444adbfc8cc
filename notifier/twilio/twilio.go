// Package twilio is the notifier's Provider for Twilio's Messages API, and the endpoint for its status callbacks.
//
// Requests are formed by twilio-go, but sent and read by our own client beneath it: twilio-go has no context, drops the HTTP
// status, and puts the URL, which for a list holds the number, into its errors. Each call gets a recorder of its own that
// carries the call's context, gates the connection it was given, and keeps the status, the headers and a bounded body. The
// class of an outcome follows from that record alone:
//
//	nothing written (DNS, dial, TLS, refused)         not sent
//	429, any body                                     not sent, throttled
//	4xx with a Twilio code in JSON                    rejected, by the table in codetable.go
//	201 with a SID, for our account and this number   accepted
//	everything else that was written                  unknown
//
// "Nothing written" is proved, not guessed: the connection refuses to write once the record has been closed without a byte
// (see gate). Nothing sends a text twice: no redirect is followed, and Go's transport, which repeats a request whose
// reused connection died, is given no body to repeat.
package twilio

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	twilioclient "github.com/twilio/twilio-go/client"

	"ansim/notifier"
)

// ErrSettings is what New and NewCallback return for settings that cannot work; the message says which and what would.
var ErrSettings = errors.New("unusable Twilio settings")

// DefaultBaseURL is Twilio's own API.
const DefaultBaseURL = "https://api.twilio.com"

// StatusPath is the path of the callback endpoint; an attempt's token follows.
const StatusPath = "/v1/providers/twilio/status/"

// Options are the settings of a Provider.
type Options struct {
	// AccountSID names the account: AC and 32 hexadecimal digits.
	AccountSID string
	// AuthToken is the account's secret: letters and digits.
	AuthToken string
	// From is the sender: a number in E.164 form, or the SID (MG…) of a messaging service.
	From string
	// BaseURL is where the API is. Default DefaultBaseURL; another (the sandbox) may be plain http.
	BaseURL string
	// PublicURL is this service's address seen from outside, for status callbacks. It must be https when the API is
	// Twilio's own, since callbacks carry the number.
	PublicURL string
	// Log gets what went wrong with requests, without numbers, texts or URLs. Default: discard.
	Log *slog.Logger
}

var (
	accountForm = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	secretForm  = regexp.MustCompile(`^[0-9A-Za-z]+$`) // Twilio's are hexadecimal; twilio-go takes no other
	numberForm  = regexp.MustCompile(`^\+[1-9][0-9]{4,14}$`)
	serviceForm = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	tokenForm   = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// Provider sends texts through one Twilio account. It is safe for concurrent use.
type Provider struct {
	account   string
	from      string // a number, or a service's SID
	base      *url.URL
	callback  string      // without the token
	header    http.Header // of every request, with the secret in it; nobody writes to it
	transport *http.Transport
	next      http.RoundTripper // the transport, unless a test puts itself between
	log       *slog.Logger
}

var _ notifier.Provider = (*Provider)(nil)

// New checks the settings and makes a Provider. It asks Twilio nothing. Errors wrap ErrSettings and quote no secret.
func New(o Options) (*Provider, error) {
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if !accountForm.MatchString(o.AccountSID) {
		bad("TWILIO_ACCOUNT_SID must be AC and 32 hexadecimal digits")
	}
	if !secretForm.MatchString(o.AuthToken) {
		bad("TWILIO_AUTH_TOKEN must be set, of letters and digits only")
	}
	if !numberForm.MatchString(o.From) && !serviceForm.MatchString(o.From) {
		bad("ANSIM_TWILIO_FROM must be a number like +8225551234, or MG and 32 hexadecimal digits")
	}
	if o.BaseURL == "" {
		o.BaseURL = DefaultBaseURL
	}
	base, err := outside(o.BaseURL)
	real := err == nil && isTwilio(base)
	switch {
	case err != nil:
		bad("ANSIM_TWILIO_BASE_URL %v", err)
	case real && base.Scheme != "https":
		bad("ANSIM_TWILIO_BASE_URL must be https for Twilio's own API")
	}
	public, err := outside(o.PublicURL)
	switch {
	case err != nil:
		bad("ANSIM_PUBLIC_URL %v", err)
	case real && public.Scheme != "https":
		bad("ANSIM_PUBLIC_URL must be https, since Twilio's callbacks carry phone numbers")
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrSettings, strings.Join(problems, "; "))
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	transport := newTransport()
	return &Provider{
		account: o.AccountSID, from: o.From, base: base, callback: public.String() + StatusPath, header: http.Header{
			"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(o.AccountSID+":"+o.AuthToken))},
			"Content-Type":  {"application/x-www-form-urlencoded"},
			"User-Agent":    {"ansim twilio-go/" + twilioclient.LibraryVersion},
		}, transport: transport, next: transport, log: o.Log,
	}, nil
}

// Close closes the connections that wait for use.
func (p *Provider) Close() { p.transport.CloseIdleConnections() }

// outside reads a base URL: http or https, a host, maybe a path, and nothing else. The result ends without a slash.
func outside(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Hostname() == "" {
		return nil, errors.New("must be a URL like https://example.org")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(raw, "#") {
		return nil, errors.New("must hold no user, query or fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

func isTwilio(u *url.URL) bool {
	h := strings.ToLower(u.Hostname())
	return h == "twilio.com" || strings.HasSuffix(h, ".twilio.com")
}
