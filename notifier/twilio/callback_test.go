package twilio

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	twilioclient "github.com/twilio/twilio-go/client"

	"ansim/notifier"
)

const public = "https://ansim.example"

func fields(change ...string) url.Values {
	v := url.Values{
		"AccountSid": {account}, "ApiVersion": {"2010-04-01"}, "From": {"+8225550100"}, "To": {canary}, "MessageSid": {goodSID},
		"MessageStatus": {"delivered"}, "SmsSid": {goodSID}, "SmsStatus": {"delivered"}, "RawDlrDoneDate": {"2607261031"},
	}
	for i := 0; i < len(change); i += 2 {
		if change[i+1] == "-" {
			v.Del(change[i])
		} else {
			v.Set(change[i], change[i+1])
		}
	}
	return v
}

// request is a callback as Twilio sends it: signed over the public URL.
func request(t *testing.T, v url.Values) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, StatusPath+token, strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	form := map[string]string{}
	for k := range v {
		form[k] = v.Get(k)
	}
	r.Header.Set("X-Twilio-Signature", Sign(secret, public+StatusPath+token, form))
	return r
}

func handler(t *testing.T, public string, receive func(context.Context, Receipt) error) http.Handler {
	t.Helper()
	var log syncBuffer
	h, err := NewCallback(CallbackOptions{
		AccountSID: account, Tokens: []string{secret, "previous0previous0previous0previ"}, PublicURL: public, Receive: receive,
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noCanary(t, log.String()) })
	return h
}

func TestSignatureOfTwiliosExample(t *testing.T) {
	t.Parallel()
	// From https://www.twilio.com/docs/usage/security: token 12345.
	form := map[string]string{"CallSid": "CA1234567890ABCDE", "Caller": "+14158675310", "Digits": "1234", "From": "+14158675310", "To": "+18005551212"}
	if got := Sign("12345", "https://example.com/myapp.php?foo=1&bar=2", form); got != "L/OH5YylLD5NRKLltdqwSvS0BnU=" {
		t.Error(got)
	}
	v := twilioclient.NewRequestValidator("12345")
	if !v.Validate("https://example.com/myapp.php?foo=1&bar=2", form, Sign("12345", "https://example.com/myapp.php?foo=1&bar=2", form)) {
		t.Error("twilio-go disagrees")
	}
}

func TestCallback(t *testing.T) {
	t.Parallel()
	sign := func(r *http.Request, s string) { r.Header.Set("X-Twilio-Signature", s) }
	body := func(v url.Values, raw string) func(*testing.T) *http.Request {
		return func(t *testing.T) *http.Request { // signed as v, sent as raw
			r := request(t, v)
			again := httptest.NewRequest(http.MethodPost, StatusPath+token, strings.NewReader(raw))
			again.Header = r.Header
			return again
		}
	}
	with := func(v url.Values, change func(*http.Request)) func(*testing.T) *http.Request {
		return func(t *testing.T) *http.Request { r := request(t, v); change(r); return r }
	}
	plain := func(*http.Request) {}
	whole := fields("ErrorCode", "30003", "MessageStatus", "undelivered", "SmsStatus", "undelivered")
	for name, c := range map[string]struct {
		request func(*testing.T) *http.Request
		want    int
	}{
		"delivered":                  {with(fields(), plain), 204},
		"undelivered":                {with(whole, plain), 204},
		"a field that is new":        {with(fields("SomethingNew", "1"), plain), 204},
		"without the doubled fields": {with(fields("SmsSid", "-", "SmsStatus", "-"), plain), 204},
		"another host":               {with(fields(), func(r *http.Request) { r.Host = "evil.example"; r.Header.Set("X-Forwarded-Host", "evil.example") }), 204},
		"no signature":               {with(fields(), func(r *http.Request) { r.Header.Del("X-Twilio-Signature") }), 403},
		"an empty signature":         {with(fields(), func(r *http.Request) { sign(r, "") }), 403},
		"two signatures":             {with(fields(), func(r *http.Request) { r.Header.Add("X-Twilio-Signature", "x") }), 403},
		"signed by nobody":           {with(fields(), func(r *http.Request) { sign(r, Sign("", public+StatusPath+token, map[string]string{})) }), 403},
		"signed for another host": {with(fields(), func(r *http.Request) {
			signAs(r, "https://evil.example")
			r.Host = "evil.example"
			r.Header.Set("X-Forwarded-Host", "evil.example")
		}), 403},
		"signed for http":             {with(fields(), func(r *http.Request) { signAs(r, "http://ansim.example") }), 403},
		"another token":               {with(fields(), func(r *http.Request) { r.URL.Path = StatusPath + strings.Repeat("f", 32) }), 403},
		"a changed value":             {body(fields(), fields("MessageStatus", "failed", "SmsStatus", "failed").Encode()), 403},
		"a field left out":            {body(whole, fields("MessageStatus", "undelivered", "SmsStatus", "undelivered").Encode()), 403},
		"a field added":               {body(fields(), fields("ErrorCode", "30003").Encode()), 403},
		"a field moved to the query":  {with(fields(), func(r *http.Request) { r.URL.RawQuery = "ErrorCode=30003" }), 400},
		"an empty query":              {with(fields(), func(r *http.Request) { r.URL.ForceQuery = true }), 400},
		"a field twice":               {body(fields(), fields().Encode()+"&MessageStatus=failed"), 400},
		"a field twice, encoded":      {body(fields(), fields().Encode()+"&%4dessageStatus=failed"), 400},
		"ErrorCode inside ApiVersion": {body(whole, shifted(whole, "ErrorCode", "-", "ApiVersion", "2010-04-01ErrorCode30003")), 400},
		"ErrorCode in a longer name":  {body(whole, shifted(whole, "ErrorCode", "-", "ErrorCode3", "0003")), 400},
		"ErrorCode behind a name":     {body(whole, shifted(whole, "ErrorCode", "-", "ApiVersion", "-", "ApiVersion2010-04-01ErrorCode", "30003")), 400},
		"a shorter ErrorCode":         {body(whole, strings.Replace(shifted(whole, "ErrorCode", "3000", "From", "-"), "ErrorCode=3000", "ErrorCode=3000&3From=%2B8225550100", 1)), 403},
		"an unknown status":           {with(fields("MessageStatus", "read-twice", "SmsStatus", "-"), plain), 400},
		"an inbound status":           {with(fields("MessageStatus", "received", "SmsStatus", "-"), plain), 400},
		"no status":                   {with(fields("MessageStatus", "-", "SmsStatus", "-"), plain), 400},
		"contradicting statuses":      {with(fields("SmsStatus", "sent"), plain), 400},
		"contradicting SIDs":          {with(fields("SmsSid", "SM"+strings.Repeat("0", 32)), plain), 400},
		"a foreign account":           {with(fields("AccountSid", "AC"+strings.Repeat("0", 32)), plain), 400},
		"a malformed SID":             {with(fields("MessageSid", goodSID+"0", "SmsSid", "-"), plain), 400},
		"a SID in capitals":           {with(fields("MessageSid", strings.ToUpper(goodSID), "SmsSid", "-"), plain), 400},
		"a malformed code":            {with(fields("ErrorCode", "30003x"), plain), 400},
		"no UTF-8":                    {with(fields("From", "\xff"), plain), 400},
		"NUL":                         {with(fields("From", "\x00"), plain), 400},
		"a bad escape":                {body(fields(), fields().Encode()+"&x=%zz"), 400},
		"a semicolon":                 {body(fields(), fields().Encode()+";x=1"), 400},
		"a hundred fields":            {body(fields(), fields().Encode()+hundred()), 400},
		"too large":                   {body(fields(), "x="+strings.Repeat("x", 70<<10)), 413},
		"JSON":                        {with(fields(), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), 400},
		"multipart":                   {with(fields(), func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") }), 400},
		"no type":                     {with(fields(), func(r *http.Request) { r.Header.Del("Content-Type") }), 400},
		"GET":                         {with(fields(), func(r *http.Request) { r.Method = http.MethodGet }), 405},
		"a token in capitals":         {with(fields(), func(r *http.Request) { r.URL.Path = StatusPath + strings.ToUpper(token) }), 400},
		"a longer path":               {with(fields(), func(r *http.Request) { r.URL.Path += "/" }), 400},
		"no token":                    {with(fields(), func(r *http.Request) { r.URL.Path = StatusPath }), 400},
		"an encoded path":             {with(fields(), func(r *http.Request) { r.URL.RawPath = "/v1/providers/twilio/status%2F" + token }), 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			received := 0
			h := handler(t, public, func(context.Context, Receipt) error { received++; return nil })
			w := httptest.NewRecorder()
			h.ServeHTTP(w, c.request(t))
			if w.Code != c.want {
				t.Errorf("%d %s, want %d", w.Code, w.Body, c.want)
			}
			if (received == 1) != (c.want == 204) {
				t.Errorf("received %d times", received)
			}
			noCanary(t, w.Body.String())
		})
	}
}

func signAs(r *http.Request, base string) {
	form := map[string]string{}
	for k := range fields() {
		form[k] = fields().Get(k)
	}
	r.Header.Set("X-Twilio-Signature", Sign(secret, base+r.URL.Path, form))
}

// shifted moves the boundaries between the keys and values of v.
func shifted(v url.Values, change ...string) string {
	out := url.Values{}
	for k := range v {
		out.Set(k, v.Get(k))
	}
	for i := 0; i < len(change); i += 2 {
		if change[i+1] == "-" {
			out.Del(change[i])
		} else {
			out.Set(change[i], change[i+1])
		}
	}
	return out.Encode()
}

func hundred() string {
	var b strings.Builder
	for i := range 100 {
		b.WriteString("&x" + strings.Repeat("y", i) + "=1")
	}
	return b.String()
}

func TestCallbackReceives(t *testing.T) {
	t.Parallel()
	var got Receipt
	var answer error
	h := handler(t, public, func(_ context.Context, r Receipt) error { got = r; return answer })
	for _, c := range []struct {
		answer error
		status int
	}{{nil, 204}, {ErrUnknownAttempt, 404}, {ErrBusy, 503}, {errors.New("the database is away"), 500}} {
		answer = c.answer
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(t, fields("ErrorCode", "30008", "MessageStatus", "failed", "SmsStatus", "failed")))
		if w.Code != c.status {
			t.Errorf("%v: %d, want %d", c.answer, w.Code, c.status)
		}
		if diff := cmp.Diff(Receipt{Token: token, SID: goodSID, Status: "failed", ErrorCode: 30008, Disposition: notifier.Later}, got); diff != "" {
			t.Error(diff)
		}
	}
}

// TestCallbackURLs: the previous auth token holds during a rotation, and a port that the scheme implies may be signed or not.
func TestCallbackURLs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		public, signed, secret string
		want                   int
	}{
		{"https://ansim.example/", "https://ansim.example", secret, 204},
		{"https://ansim.example", "https://ansim.example", "previous0previous0previous0previ", 204},
		{"https://ansim.example", "https://ansim.example", "another0another0another0another0", 403},
		{"https://ansim.example", "https://ansim.example:443", secret, 204},
		{"https://ansim.example:443", "https://ansim.example", secret, 204},
		{"https://ansim.example", "https://ansim.example:8443", secret, 403},
		{"https://ansim.example:8443", "https://ansim.example", secret, 403},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080", secret, 204},
		{"https://ansim.example/texts", "https://ansim.example/texts", secret, 204},
	} {
		r := request(t, fields())
		form := map[string]string{}
		for k := range fields() {
			form[k] = fields().Get(k)
		}
		r.Header.Set("X-Twilio-Signature", Sign(c.secret, c.signed+StatusPath+token, form))
		w := httptest.NewRecorder()
		handler(t, c.public, func(context.Context, Receipt) error { return nil }).ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%+v: %d", c, w.Code)
		}
	}
}

func TestNewCallbackRefuses(t *testing.T) {
	t.Parallel()
	good := CallbackOptions{AccountSID: account, Tokens: []string{secret}, PublicURL: public, Receive: func(context.Context, Receipt) error { return nil }}
	for name, change := range map[string]func(*CallbackOptions){
		"no account":        func(o *CallbackOptions) { o.AccountSID = "" },
		"no tokens":         func(o *CallbackOptions) { o.Tokens = nil },
		"an empty token":    func(o *CallbackOptions) { o.Tokens = []string{secret, ""} },
		"no public URL":     func(o *CallbackOptions) { o.PublicURL = "" },
		"nobody to receive": func(o *CallbackOptions) { o.Receive = nil },
	} {
		o := good
		change(&o)
		if _, err := NewCallback(o); !errors.Is(err, ErrSettings) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
