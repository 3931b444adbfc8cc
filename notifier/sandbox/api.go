package sandbox

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
	senderID   = regexp.MustCompile(`^([0-9]{3,6}|[A-Za-z0-9 ]{1,11})$`) // short codes and names
	serviceSID = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
)

// api wraps a handler of Twilio's API with what every one of its requests meets.
func (s *Server) api(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		good := subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(s.basic))
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
	buf := s.buffers.Get().(*bytes.Buffer)
	defer s.buffers.Put(buf)
	form, err := readForm(r, buf)
	if err != nil {
		s.noteViolation(r, what, "")
		w.Header().Set("Connection", "close") // what was not read of the form must not be taken for a request
		writeError(w, formError(err))
		return
	}
	e, target, code, about := s.read(form)
	if code != 0 {
		s.noteViolation(r, what, "")
		writeError(w, refusal(code, about))
		return
	}
	rule, faulty := s.faults.choose(next, OnCreate, e.To, e.Body)
	var truth reply
	sid := ""
	if !faulty || rule.happens() {
		m, err := s.accept(&e, target, rule)
		if err != nil {
			s.log.Error("sandbox: a text could not be taken", "err", err)
			writeError(w, refusal(20500, ""))
			return
		}
		sid = m.SID
		buf.Reset()
		buf.Grow(1 << 10)
		was := Message{Entry: m.Entry, Status: firstStatus(&m.Entry), UpdatedAt: m.At} // whatever became of it since
		truth = reply{http.StatusCreated, append(appendResource(buf.AvailableBuffer(), &was), '\n')}
	} else {
		truth = errorReply(refusal(20500, ""))
	}
	s.noteViolation(r, what, sid)
	s.answer(w, r, rule, truth, func(code int) string {
		if code == 21212 || code == 21606 {
			return form.from
		}
		return form.to
	})
}

// accept takes a text and sends it on its way, as rule wants it.
func (s *Server) accept(e *Entry, t *target, rule Rule) (*message, error) {
	e.Fate = rule.fate()
	if e.Final == "" {
		e.Final = magicOf(e.To, false).final
	}
	if e.ListLag == 0 {
		e.ListLag = Duration(s.opts.ListLag)
	}
	m, err := s.take(e)
	if err != nil {
		return nil, err
	}
	if m.Callbacks == CallbacksEarly {
		s.carrier.hurry(m, t)
	} else {
		s.carrier.take(m, t)
	}
	return m, nil
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
	if errors.Is(err, errFormTooLarge) {
		e.Status, e.Message = http.StatusRequestEntityTooLarge, "Request body too large"
	}
	return e
}

// read checks a request for a text. A code other than 0 is what it is refused with, about is the value concerned.
func (s *Server) read(form textForm) (e Entry, t *target, code int, about string) {
	to := plainNumber(form.to)
	if code := checkTo(to); code != 0 {
		return e, nil, code, form.to
	}
	from, code := s.checkFrom(strings.TrimSpace(form.from), form.service)
	if code != 0 {
		return e, nil, code, form.from + form.service
	}
	if form.callback != "" {
		where, err := parseTarget(form.callback)
		if err != nil {
			return e, nil, 21609, form.callback
		}
		t = &where
		e.Token = where.token
	}
	switch {
	case from == to:
		return e, nil, 21266, to
	case form.body == "":
		return e, nil, 21602, ""
	case utf8.RuneCountInString(form.body) > bodyLimit:
		return e, nil, 21617, ""
	}
	if v := form.validity; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > validityMax {
			return e, nil, 20001, ""
		}
		e.Validity = n
	}
	e.SID, e.To, e.From, e.Body, e.Callback, e.At = newSID(), to, from, form.body, form.callback, s.opts.Now().UTC()
	e.Account, e.Service = s.opts.AccountSID, form.service
	return e, t, 0, ""
}

// plainNumber is a number without what people write between its digits.
func plainNumber(s string) string {
	if !strings.ContainsAny(s, " -().") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -().", r) {
			return -1
		}
		return r
	}, s)
}

// isE164 says whether a number is + and 7 to 15 digits, of which the first is no 0.
func isE164(s string) bool {
	if len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func checkTo(to string) int {
	if to == "" {
		return 21604
	}
	if code := magicOf(to, false).refused; code != 0 {
		return code
	}
	if !isE164(to) {
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
	number := plainNumber(from)
	if code := magicOf(number, true).refused; code != 0 {
		return "", code
	}
	if number == DefaultFrom {
		from = DefaultFrom // the constant, so that no text keeps a copy of its own
	} else if isE164(number) {
		from = number
	} else if !senderID.MatchString(from) {
		return "", 21212
	}
	if len(s.opts.Senders) > 0 && !slices.Contains(s.opts.Senders, from) {
		return "", 21606
	}
	return from, 0
}
