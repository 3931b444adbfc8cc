package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// fetch answers GET Messages/SID.json.
func (s *Server) fetch(w http.ResponseWriter, r *http.Request) {
	sid, isJSON := strings.CutSuffix(r.PathValue("sid"), ".json")
	m, ok := s.store.get(sid)
	truth := errorReply(refusal(20404, r.URL.Path))
	if ok && isJSON {
		truth = reply{http.StatusOK, append(appendResource(nil, &m), '\n')}
	}
	rule, _ := s.faults.choose(0, OnFetch, m.To, m.Body)
	s.answer(w, r, rule, truth, func(int) string { return m.To })
}

type listing struct {
	FirstPageURI    string            `json:"first_page_uri"`
	End             int               `json:"end"`
	PreviousPageURI *string           `json:"previous_page_uri"`
	Messages        []json.RawMessage `json:"messages"`
	URI             string            `json:"uri"`
	PageSize        int               `json:"page_size"`
	Start           int               `json:"start"`
	NextPageURI     *string           `json:"next_page_uri"`
	Page            int               `json:"page"`
}

// list answers GET Messages.json, newest first. As Twilio's, a page is found by its token; Page only counts them.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	to := plainNumber(q.Get("To"))
	truth := s.pageOf(q, to)
	rule, _ := s.faults.choose(0, OnList, to, "")
	s.answer(w, r, rule, truth, func(int) string { return to })
}

// pageOf is a page of the list of texts to a number, or to all, as the query asks for it.
func (s *Server) pageOf(q url.Values, to string) reply {
	size, page := 50, 0
	if v := q.Get("PageSize"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return errorReply(refusal(20001, ""))
		}
		size = n
	}
	if size > 1000 {
		return errorReply(refusal(20007, ""))
	}
	if n, err := strconv.Atoi(q.Get("Page")); err == nil && n > 0 {
		page = n
	}
	f := filter{to: to, from: q.Get("From")}
	for name, day := range map[string]*string{"DateSent": &f.onDay, "DateSent<": &f.notAfter, "DateSent>": &f.since} {
		var ok bool
		if *day, ok = dayOf(q.Get(name)); !ok {
			return errorReply(refusal(20001, ""))
		}
	}
	asked := q.Get("PageToken")
	token, newer := strings.CutPrefix(asked, "PB")
	if !newer {
		token = strings.TrimPrefix(token, "PA")
	}
	found, more, ok := s.store.page(f, token, newer, size)
	if !ok {
		return errorReply(refusal(20001, ""))
	}
	q.Del("PageToken")
	out := listing{Messages: make([]json.RawMessage, len(found)), PageSize: size, Page: page, Start: page * size, End: page*size + max(len(found)-1, 0)}
	for i := range found {
		out.Messages[i] = appendResource(nil, &found[i])
	}
	base := messagesPath(s.opts.AccountSID) + ".json?"
	out.FirstPageURI = base + pageQuery(q, size, 0, "")
	out.URI = base + pageQuery(q, size, page, asked)
	if more && len(found) > 0 {
		out.NextPageURI = new(base + pageQuery(q, size, page+1, "PA"+found[len(found)-1].SID))
	}
	if page > 0 && len(found) > 0 {
		out.PreviousPageURI = new(base + pageQuery(q, size, page-1, "PB"+found[0].SID))
	}
	body, err := json.Marshal(out)
	if err != nil {
		s.log.Error("sandbox: a page of the list could not be made", "err", err)
		return errorReply(refusal(20500, ""))
	}
	return reply{http.StatusOK, append(body, '\n')}
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
