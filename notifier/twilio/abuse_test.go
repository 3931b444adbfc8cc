package twilio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// countedBody counts what is read of an endless form.
type countedBody struct{ read int }

func (b *countedBody) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "a=1&"[(b.read+i)%4]
	}
	b.read += len(p)
	return len(p), nil
}

func (b *countedBody) Close() error { return nil }

func signatureOf(v url.Values, secret, url string) string {
	form := map[string]string{}
	for k := range v {
		form[k] = v.Get(k)
	}
	return Sign(secret, url, form)
}

// TestSignatureTricks has a row for each way in which someone who saw one good callback, but has no auth token, may try to say
// something else. Each is tried ten times; none reaches the receiver.
func TestSignatureTricks(t *testing.T) {
	t.Parallel()
	const here = public + StatusPath + token
	good := fields("ErrorCode", "30003", "MessageStatus", "undelivered", "SmsStatus", "undelivered")
	honest := signatureOf(good, secret, here)
	body := good.Encode()
	form := func(signature, body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, StatusPath+token, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Twilio-Signature", signature)
		return r
	}
	change := func(f func(*http.Request)) func() *http.Request {
		return func() *http.Request { r := form(honest, body); f(r); return r }
	}
	says := func(body string) func() *http.Request { return func() *http.Request { return form(honest, body) } }
	signed := func(signature string) func() *http.Request {
		return func() *http.Request { return form(signature, body) }
	}
	replace := strings.NewReplacer
	for name, c := range map[string]struct {
		request func() *http.Request
		want    int
	}{
		// Duplicate keys: which of the two was signed?
		"a duplicate key":                     {says(body + "&MessageStatus=delivered"), 400},
		"a duplicate key in front":            {says("MessageStatus=delivered&" + body), 400},
		"a duplicate key, escaped":            {says(body + "&Message%53tatus=delivered"), 400},
		"a duplicate key without a value":     {says(body + "&MessageStatus"), 400},
		"a duplicate key in small letters":    {says(body + "&messagestatus=delivered"), 403},
		"a duplicate key behind a space":      {says(body + "&+MessageStatus=delivered"), 403},
		"a duplicate key in PHP's form":       {says(body + "&MessageStatus%5B%5D=delivered"), 403},
		"a key without name":                  {says(body + "&=x"), 403},
		"the empty key that changes no bytes": {says(body + "&="), 400},
		// Boundary shifts: the signature covers keys and values run together.
		"a boundary moved into the next value": {says(replace("ErrorCode=30003&", "", "ApiVersion=2010-04-01", "ApiVersion=2010-04-01ErrorCode30003").Replace(body)), 400},
		"a boundary moved into the key":        {says(replace("ErrorCode=30003", "ErrorCode3=0003").Replace(body)), 400},
		"a boundary moved into a long key":     {says(replace("&ErrorCode=30003", "", "ApiVersion=2010-04-01", "ApiVersion2010-04-01ErrorCode=30003").Replace(body)), 400},
		"a boundary moved out of a value":      {says(replace("ErrorCode=30003", "ErrorCode=3000&3=").Replace(body)), 403},
		"a key cut short":                      {says(replace("ErrorCode=30003", "Error=Code30003").Replace(body)), 400},
		"a key cut to a letter":                {says(replace("ErrorCode=30003", "E=rrorCode30003").Replace(body)), 400},
		"a key cut by the value before it":     {says(replace("ApiVersion=2010-04-01&ErrorCode=30003", "ApiVersion=2010-04-01Error&Code=30003").Replace(body)), 400},
		"a key cut out of two fields":          {says(replace("ApiVersion=2010-04-01&ErrorCode=30003", "ApiVersion=2010-04-01Err&or=Code30003").Replace(body)), 403},
		"a status cut off":                     {says(replace("SmsStatus=undelivered", "Sms=Statusundelivered").Replace(body)), 403},
		"all in one value":                     {says("AccountSid=" + url.QueryEscape(strings.TrimPrefix(runTogether(good), "AccountSid"))), 400},
		"all in one key":                       {says(url.QueryEscape(runTogether(good)) + "="), 400},
		"a boundary moved out of the token": {func() *http.Request {
			r := form(honest, body)
			r.URL.Path = StatusPath + token[:31]
			return r
		}, 400},
		"a boundary moved into the token": {change(func(r *http.Request) { r.URL.Path += "AccountSid" }), 400},
		"the fragment as a key": {func() *http.Request {
			return form(signatureOf(good, secret, here+overrides), strings.Replace(body, "AccountSid", url.QueryEscape(overrides+"AccountSid"), 1))
		}, 400},
		// Moved parameters.
		"a parameter moved to the query":    {change(func(r *http.Request) { r.URL.RawQuery = "ErrorCode=30003" }), 400},
		"all parameters moved to the query": {change(func(r *http.Request) { r.URL.RawQuery = body; r.Body = http.NoBody }), 400},
		"a parameter left out":              {says(strings.Replace(body, "ErrorCode=30003&", "", 1)), 403},
		"a parameter added":                 {says(body + "&Extra=1"), 403},
		"a parameter changed":               {says(strings.ReplaceAll(body, "undelivered", "delivered")), 403},
		"parameters as JSON":                {change(func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), 400},
		"parameters as multipart":           {change(func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") }), 400},
		"two types":                         {change(func(r *http.Request) { r.Header.Add("Content-Type", "application/json") }), 400},
		"a semicolon for an ampersand":      {says(strings.Replace(body, "&", ";", 1)), 400},
		// Replays: what was signed for one attempt says nothing of another.
		"a replay for another attempt": {change(func(r *http.Request) { r.URL.Path = StatusPath + strings.Repeat("0", 32) }), 403},
		"a replay with another method": {change(func(r *http.Request) { r.Method = http.MethodGet }), 405},
		"a replay under an encoded path": {change(func(r *http.Request) {
			r.URL.RawPath = strings.Replace(StatusPath, "status", "%73tatus", 1) + token
		}), 400},
		// A foreign host.
		"a foreign host": {func() *http.Request {
			r := form(signatureOf(good, secret, "https://evil.example"+StatusPath+token), body)
			r.Host = "evil.example"
			for _, h := range []string{"X-Forwarded-Host", "X-Original-Host", "Forwarded", "X-Forwarded-Server"} {
				r.Header.Set(h, "evil.example")
			}
			return r
		}, 403},
		"a host behind ours":    {signed(signatureOf(good, secret, "https://ansim.example.evil.example"+StatusPath+token)), 403},
		"a user before ours":    {signed(signatureOf(good, secret, "https://evil@ansim.example"+StatusPath+token)), 403},
		"a foreign port":        {signed(signatureOf(good, secret, "https://ansim.example:8443"+StatusPath+token)), 403},
		"plain http":            {signed(signatureOf(good, secret, "http://ansim.example"+StatusPath+token)), 403},
		"a foreign path":        {signed(signatureOf(good, secret, public+"/other/"+token)), 403},
		"another fragment":      {signed(signatureOf(good, secret, here+"#rc=5")), 403},
		"a fragment of nothing": {signed(signatureOf(good, secret, here+"#")), 403},
		"a foreign account": {func() *http.Request {
			v := fields("AccountSid", "AC"+strings.Repeat("1", 32))
			return form(signatureOf(v, secret, here), v.Encode())
		}, 400},
		// No auth token.
		"an empty auth token":                {signed(signatureOf(good, "", here)), 403},
		"a token that is not ours":           {signed(signatureOf(good, strings.Repeat("0", 32), here)), 403},
		"our account as token":               {signed(signatureOf(good, account, here)), 403},
		"an empty signature":                 {signed(""), 403},
		"no signature":                       {change(func(r *http.Request) { r.Header.Del("X-Twilio-Signature") }), 403},
		"two signatures":                     {change(func(r *http.Request) { r.Header.Add("X-Twilio-Signature", honest) }), 403},
		"a list of signatures":               {signed(honest + "," + honest), 403},
		"a signature without its end":        {signed(strings.TrimRight(honest, "=")), 403},
		"a signature in base64 of URLs":      {signed(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(honest) + "."), 403},
		"a signature with other unused bits": {signed(otherBits(honest)), 403},
		"a signature in small letters":       {signed(strings.ToLower(honest)), 403},
		"a signature with a space":           {signed(" " + honest), 403},
		"a signature of 1 MB":                {signed(strings.Repeat("A", 1<<20)), 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			received := 0
			h := handler(t, public, func(context.Context, Receipt) error { received++; return nil })
			for range 10 {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, c.request())
				if w.Code != c.want {
					t.Errorf("%d %s, want %d", w.Code, w.Body, c.want)
				}
				noCanary(t, w.Body.String())
			}
			if received != 0 {
				t.Errorf("received %d times", received)
			}
		})
	}
	// And the same callback without a trick is one that counts, so that the rows above fail for their trick alone.
	received := 0
	h := handler(t, public, func(context.Context, Receipt) error { received++; return nil })
	h.ServeHTTP(httptest.NewRecorder(), form(honest, body))
	h.ServeHTTP(httptest.NewRecorder(), form(signatureOf(good, secret, here+overrides), body))
	if received != 2 {
		t.Errorf("of two honest callbacks %d were received", received)
	}
}

// runTogether is what is signed of a form.
func runTogether(v url.Values) string {
	form := map[string]string{}
	for k := range v {
		form[k] = v.Get(k)
	}
	return signedFields(form)
}

// otherBits changes the bits of a base64 text that no decoder looks at: 20 bytes leave two of them in the last letter.
func otherBits(s string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := len(strings.TrimRight(s, "=")) - 1
	return s[:last] + string(letters[strings.IndexByte(letters, s[last])^1]) + s[last+1:]
}

// TestCallbackReplays: a good callback that comes again is handed on again, as it is; that nothing comes of it is the
// recorder's doing. One for an attempt that nobody knows is refused each time.
func TestCallbackReplays(t *testing.T) {
	t.Parallel()
	var known, unknown atomic.Int32
	h := handler(t, public, func(_ context.Context, r Receipt) error {
		if r.Token != token || r.SID != goodSID || r.Status != "delivered" {
			t.Errorf("%+v", r)
		}
		if known.Add(1)%2 == 0 {
			unknown.Add(1)
			return fmt.Errorf("look up: %w", ErrUnknownAttempt)
		}
		return nil
	})
	var codes [600]atomic.Int32
	var senders sync.WaitGroup
	for range 10 {
		senders.Go(func() {
			for range 20 {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, request(t, fields()))
				codes[w.Code].Add(1)
			}
		})
	}
	senders.Wait()
	if known.Load() != 200 || codes[http.StatusNoContent].Load() != 100 || codes[http.StatusNotFound].Load() != 100 {
		t.Errorf("handed on %d times; %d taken, %d unknown", known.Load(), codes[http.StatusNoContent].Load(), codes[http.StatusNotFound].Load())
	}
}

// TestCallbackRotation: while the auth token is changed both hold; afterwards the old one says nothing any more.
func TestCallbackRotation(t *testing.T) {
	t.Parallel()
	const old, young = "0ld00ld00ld00ld00ld00ld00ld00ld0", "y0ungy0ungy0ungy0ungy0ungy0ungy0"
	for _, c := range []struct {
		tokens []string
		signed string
		want   int
	}{
		{[]string{old}, old, 204}, {[]string{old}, young, 403},
		{[]string{young, old}, old, 204}, {[]string{young, old}, young, 204}, {[]string{young, old}, "", 403}, {[]string{young, old}, young + old, 403},
		{[]string{young}, young, 204}, {[]string{young}, old, 403},
	} {
		h, err := NewCallback(CallbackOptions{AccountSID: account, Tokens: c.tokens, PublicURL: public,
			Receive: func(context.Context, Receipt) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		r := request(t, fields())
		r.Header.Set("X-Twilio-Signature", signatureOf(fields(), c.signed, public+StatusPath+token))
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("%q of %q: %d", c.signed, c.tokens, w.Code)
		}
	}
}

// TestCallbackReadsLittle: a body is read up to its bound, and not at all when the rest of the request is refused anyway.
func TestCallbackReadsLittle(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		method, path, kind string
		want, read         int
	}{
		"a body without end": {http.MethodPost, StatusPath + token, form, 413, 2 * maxForm},
		"a wrong method":     {http.MethodPut, StatusPath + token, form, 405, 0},
		"a wrong path":       {http.MethodPost, StatusPath + "x", form, 400, 0},
		"a wrong type":       {http.MethodPost, StatusPath + token, "text/plain", 400, 0},
		"a query":            {http.MethodPost, StatusPath + token + "?a=b", form, 400, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := handler(t, public, func(context.Context, Receipt) error { return errors.New("received") })
			body := &countedBody{}
			r := httptest.NewRequest(c.method, c.path, body)
			r.Header.Set("Content-Type", c.kind)
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != c.want || body.read > c.read {
				t.Errorf("%d, read %d bytes; want %d and at most %d", w.Code, body.read, c.want, c.read)
			}
		})
	}
}

// TestCallbackFieldCount: as many fields as may be, and one more; a thousand keys, and one key a thousand times.
func TestCallbackFieldCount(t *testing.T) {
	t.Parallel()
	more := func(n int) url.Values {
		v := fields()
		for i := 0; len(v) < n; i++ {
			v.Set("Extra"+strings.Repeat("x", i), "1")
		}
		return v
	}
	again := func(n int) string { return fields().Encode() + strings.Repeat("&MessageStatus=failed", n) }
	h := handler(t, public, func(context.Context, Receipt) error { return nil })
	for name, c := range map[string]struct {
		request *http.Request
		want    int
	}{
		"as many as may be":         {request(t, more(maxFields)), 204},
		"one more":                  {request(t, more(maxFields+1)), 400},
		"a key 1,000 times":         {withBody(request(t, fields()), again(1000)), 400},
		"1,000 keys without values": {withBody(request(t, fields()), strings.Repeat("k&", 1000)), 400},
		"1,000 keys": {withBody(request(t, fields()), func() string {
			v := url.Values{}
			for i := range 1000 {
				v.Set(fmt.Sprintf("k%d", i), "v")
			}
			return v.Encode()
		}()), 400},
	} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, c.request); w.Code != c.want {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, c.want)
		}
	}
}

func withBody(r *http.Request, body string) *http.Request {
	r.Body = io.NopCloser(strings.NewReader(body))
	return r
}
