package sandbox

import (
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const apiVersion = "2010-04-01"

const (
	bodyLimit   = 1600    // characters of a text
	formLimit   = 1 << 16 // bytes of a request
	validityMax = 36000   // seconds
)

func messagesPath(account string) string {
	return "/" + apiVersion + "/Accounts/" + account + "/Messages"
}

var (
	e164       = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	senderID   = regexp.MustCompile(`^([0-9]{3,6}|[A-Za-z0-9 ]{1,11})$`) // short codes and names
	serviceSID = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	formatting = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "")
)

// magicTo and magicFrom are the numbers of Twilio's test credentials, and what they are refused with.
var (
	magicTo = map[string]int{
		"+15005550001": 21211, "+15005550002": 21612, "+15005550003": 21408, "+15005550004": 21610, "+15005550009": 21614,
	}
	magicFrom = map[string]int{"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}
)

// magicFinal are the sandbox's own numbers: texts to them are taken, and end so. 010-0xxx is never given out in Korea.
var magicFinal = map[string]string{
	"+821000030000": "sent", "+821000030001": "failed:30001", "+821000030003": "undelivered:30003",
	"+821000030005": "undelivered:30005", "+821000030007": "undelivered:30007", "+821000030008": "undelivered:30008",
}

// api wraps a handler of Twilio's API with what every one of its requests meets.
func (s *Server) api(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, token, _ := r.BasicAuth()
		good := subtle.ConstantTimeCompare([]byte(user), []byte(s.opts.AccountSID)) &
			subtle.ConstantTimeCompare([]byte(token), []byte(s.opts.AuthToken))
		if good != 1 || r.PathValue("account") != s.opts.AccountSID {
			writeError(w, refusal(20003, ""))
			return
		}
		next(w, r)
	}
}

// create answers POST Messages.json. A request that is sent twice makes two texts, as Twilio's does.
func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	what := findViolation(r.Header)
	rule, refused, next := s.faults.blind()
	if refused {
		s.noteViolation(r, what, "")
		s.wait(r, rule.Delay)
		abort(w)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, formLimit)
	if err := r.ParseForm(); err != nil {
		s.noteViolation(r, what, "")
		writeError(w, formError(err))
		return
	}
	e, code, about := s.read(r.PostForm)
	if code != 0 {
		s.noteViolation(r, what, "")
		writeError(w, refusal(code, about))
		return
	}
	rule, faulty := s.faults.choose(next, e.To, e.Body)
	var m *message
	if !faulty || rule.happens() {
		e.Final, e.Callbacks, e.LateBy, e.ListLag = rule.Final, rule.Callbacks, rule.LateBy, rule.ListLag
		if e.Final == "" {
			e.Final = magicFinal[e.To]
		}
		var err error
		if m, err = s.take(e); err != nil {
			s.log.Error("sandbox: a text could not be taken", "err", err)
			writeError(w, refusal(20500, ""))
			return
		}
		s.noteViolation(r, what, m.SID)
		if m.Callbacks == CallbacksEarly {
			s.carrier.hurry(m)
		} else {
			s.carrier.take(m)
		}
	} else {
		s.noteViolation(r, what, "")
	}
	s.answer(w, r, rule, m)
}

func (s *Server) noteViolation(r *http.Request, what, sid string) {
	if what == "" {
		return
	}
	s.viols.add(Violation{At: s.opts.Now().UTC(), Method: r.Method, Path: r.URL.Path, What: what, SID: sid})
	s.log.Error("sandbox: VIOLATION: a request carried what must never be sent to Twilio", "what", what)
}

func formError(err error) apiError {
	e := refusal(20001, "")
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		e.Status, e.Message = http.StatusRequestEntityTooLarge, "Request body too large"
	}
	return e
}

// read checks a request for a text. A code other than 0 is what it is refused with, about is the value concerned.
func (s *Server) read(form url.Values) (e Entry, code int, about string) {
	to, from := formatting.Replace(form.Get("To")), strings.TrimSpace(form.Get("From"))
	service, body, callback := form.Get("MessagingServiceSid"), form.Get("Body"), form.Get("StatusCallback")
	if code := checkTo(to); code != 0 {
		return e, code, form.Get("To")
	}
	from, code = s.checkFrom(from, service)
	switch {
	case code != 0:
		return e, code, form.Get("From") + service
	case from == to:
		return e, 21266, to
	case body == "":
		return e, 21602, ""
	case utf8.RuneCountInString(body) > bodyLimit:
		return e, 21617, ""
	case callback != "" && !loopbackURL(callback):
		return e, 21609, callback
	}
	validity := 0
	if v := form.Get("ValidityPeriod"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > validityMax {
			return e, 20001, ""
		}
		validity = n
	}
	return Entry{
		SID: newSID(), To: to, From: from, Body: body, Token: tokenOf(callback), Callback: callback, At: s.opts.Now().UTC(),
		Account: s.opts.AccountSID, Service: service, Validity: validity,
	}, 0, ""
}

func checkTo(to string) int {
	if to == "" {
		return 21604
	}
	if code := magicTo[to]; code != 0 {
		return code
	}
	if !e164.MatchString(to) {
		return 21211
	}
	return 0
}

// checkFrom gives the number that the text will come from.
func (s *Server) checkFrom(from, service string) (string, int) {
	if from == "" {
		switch {
		case service == "":
			return "", 21603
		case !serviceSID.MatchString(service):
			return "", 21701
		case len(s.opts.Senders) > 0:
			return s.opts.Senders[0], 0
		}
		return DefaultFrom, 0
	}
	number := formatting.Replace(from)
	if code := magicFrom[number]; code != 0 {
		return "", code
	}
	if e164.MatchString(number) {
		from = number
	} else if !senderID.MatchString(from) {
		return "", 21212
	}
	if len(s.opts.Senders) > 0 && !slices.Contains(s.opts.Senders, from) {
		return "", 21606
	}
	return from, 0
}

// loopbackURL says whether a callback stays on this machine: a sandbox must not be made to call strangers.
func loopbackURL(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// fetch answers GET Messages/SID.json.
func (s *Server) fetch(w http.ResponseWriter, r *http.Request) {
	sid, isJSON := strings.CutSuffix(r.PathValue("sid"), ".json")
	m, ok := s.store.get(sid)
	if !ok || !isJSON {
		writeError(w, refusal(20404, r.URL.Path))
		return
	}
	writeJSON(w, http.StatusOK, resourceOf(m))
}

type listing struct {
	FirstPageURI    string     `json:"first_page_uri"`
	End             int        `json:"end"`
	PreviousPageURI *string    `json:"previous_page_uri"`
	Messages        []resource `json:"messages"`
	URI             string     `json:"uri"`
	PageSize        int        `json:"page_size"`
	Start           int        `json:"start"`
	NextPageURI     *string    `json:"next_page_uri"`
	Page            int        `json:"page"`
}

// list answers GET Messages.json, newest first. As Twilio's, a page is found by its token; Page only counts them.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	size, page := 50, 0
	if v := q.Get("PageSize"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			writeError(w, refusal(20001, ""))
			return
		}
		size = n
	}
	if size > 1000 {
		writeError(w, refusal(20007, ""))
		return
	}
	if n, err := strconv.Atoi(q.Get("Page")); err == nil && n > 0 {
		page = n
	}
	f := filter{to: formatting.Replace(q.Get("To")), from: q.Get("From")}
	for name, day := range map[string]*string{"DateSent": &f.onDay, "DateSent<": &f.notAfter, "DateSent>": &f.since} {
		var ok bool
		if *day, ok = dayOf(q.Get(name)); !ok {
			writeError(w, refusal(20001, ""))
			return
		}
	}
	token, newer := strings.CutPrefix(q.Get("PageToken"), "PB")
	if !newer {
		token = strings.TrimPrefix(token, "PA")
	}
	found, more, ok := s.store.page(f, token, newer, size)
	if !ok {
		writeError(w, refusal(20001, ""))
		return
	}
	q.Del("PageToken")
	out := listing{Messages: make([]resource, len(found)), PageSize: size, Page: page, Start: page * size, End: page*size + max(len(found)-1, 0)}
	for i, m := range found {
		out.Messages[i] = resourceOf(m)
	}
	base := messagesPath(s.opts.AccountSID) + ".json?"
	out.FirstPageURI = base + pageQuery(q, size, 0, "")
	out.URI = base + pageQuery(q, size, page, r.URL.Query().Get("PageToken"))
	if more && len(found) > 0 {
		out.NextPageURI = new(base + pageQuery(q, size, page+1, "PA"+found[len(found)-1].SID))
	}
	if page > 0 && len(found) > 0 {
		out.PreviousPageURI = new(base + pageQuery(q, size, page-1, "PB"+found[0].SID))
	}
	writeJSON(w, http.StatusOK, out)
}

func pageQuery(q url.Values, size, page int, token string) string {
	q.Set("PageSize", strconv.Itoa(size))
	q.Set("Page", strconv.Itoa(page))
	if token == "" {
		return q.Encode()
	}
	return q.Encode() + "&PageToken=" + url.QueryEscape(token)
}

// dayOf reads the day of a DateSent filter, which may also be a whole time; Twilio looks at its day in GMT only.
func dayOf(v string) (string, bool) {
	if v == "" {
		return "", true
	}
	if t, err := time.Parse(time.DateOnly, v); err == nil {
		return t.Format(time.DateOnly), true
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return t.UTC().Format(time.DateOnly), true
	}
	return "", false
}
