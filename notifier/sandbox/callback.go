package sandbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// poster sends callbacks as Twilio does: a signed form, and no redirect is followed.
type poster struct {
	token     string
	client    *http.Client
	transport *http.Transport
}

var errNotLoopback = errors.New("sandbox: callbacks go to this machine only")

func newPoster(s *Server) *poster {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: onlyLoopback}
	t := &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: s.opts.CallbackWorkers, MaxConnsPerHost: s.opts.CallbackWorkers + 8,
		IdleConnTimeout: 30 * time.Second, DisableCompression: true,
	}
	return &poster{token: s.opts.AuthToken, transport: t, client: &http.Client{
		Transport: t, Timeout: s.opts.CallbackTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// onlyLoopback holds also for a name that points elsewhere.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return errNotLoopback
	}
	return nil
}

// send posts one callback, and says whether it is over: taken, or refused with a status that no repetition would change.
func (p *poster) send(ctx context.Context, m Message) bool {
	form := callbackForm(m)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.Callback, strings.NewReader(form.Encode()))
	if err != nil {
		return true // was checked when the text was taken
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	req.Header.Set("User-Agent", "TwilioProxy/1.1")
	req.Header.Set("X-Twilio-Signature", Signature(p.token, m.Callback, form))
	req.Header.Set("I-Twilio-Idempotency-Token", callbackToken(m))
	resp, err := p.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	return resp.StatusCode < 500
}

// callbackToken is the same for each try of a callback, as Twilio's header is.
func callbackToken(m Message) string {
	sum := hmac.New(sha1.New, []byte(m.SID))
	fmt.Fprintf(sum, "%s %d", m.Status, m.UpdatedAt.UnixNano())
	return fmt.Sprintf("%x", sum.Sum(nil)[:16])
}

func callbackForm(m Message) url.Values {
	form := url.Values{
		"MessageSid": {m.SID}, "SmsSid": {m.SID}, "MessageStatus": {string(m.Status)}, "SmsStatus": {string(m.Status)},
		"To": {m.To}, "From": {m.From}, "AccountSid": {m.Account}, "ApiVersion": {apiVersion},
	}
	if m.Service != "" {
		form.Set("MessagingServiceSid", m.Service)
	}
	if m.ErrorCode != 0 {
		form.Set("ErrorCode", strconv.Itoa(m.ErrorCode))
	}
	if m.Status == Delivered || m.Status == Undelivered {
		form.Set("RawDlrDoneDate", m.UpdatedAt.UTC().Format("0601021504")) // the carrier's receipt: YYMMDDhhmm
	}
	return form
}

// Signature is X-Twilio-Signature: base64 of the HMAC-SHA1, under the auth token, of the URL followed by each
// parameter's name and value, sorted by name.
func Signature(authToken, url string, form url.Values) string {
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	mac := hmac.New(sha1.New, []byte(authToken))
	io.WriteString(mac, url)
	for _, name := range names {
		io.WriteString(mac, name+form.Get(name))
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (p *poster) close() { p.transport.CloseIdleConnections() }
