package sandbox

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer tells the client what rule wants it to see; m is the text, nil when it was not taken.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, rule Rule, m *message) {
	if !s.wait(r, rule.Delay) {
		return // the client has gone, or the network is closing
	}
	switch rule.Answer {
	case "", AnswerOK:
		writeJSON(w, http.StatusCreated, s.created(m))
	case AnswerHang:
		select {
		case <-r.Context().Done():
		case <-s.ctx.Done():
			abort(w)
		}
	case AnswerDrop, AnswerRefuse:
		abort(w)
	case AnswerTruncated:
		s.truncated(w, m)
	case Answer500:
		writeError(w, refusal(20500, ""))
	case Answer503:
		retryAfter(w, rule)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n" +
			"<body><center><h1>503 Service Temporarily Unavailable</h1></center></body>\r\n</html>\r\n"))
	case Answer429:
		retryAfter(w, rule)
		writeError(w, refusal(20429, ""))
	case Answer401:
		writeError(w, refusal(20003, ""))
	default:
		code, _ := strconv.Atoi(strings.TrimPrefix(string(rule.Answer), answerCode)) // checked by Rule.check
		about := r.PostForm.Get("To")
		if code == 21212 || code == 21606 {
			about = r.PostForm.Get("From")
		}
		writeError(w, refusal(code, about))
	}
}

// created is the resource as it was when the text was taken, whatever became of it since.
func (s *Server) created(m *message) resource {
	return resourceOf(newMessage(m.Entry).snapshot())
}

func retryAfter(w http.ResponseWriter, rule Rule) {
	if rule.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(rule.RetryAfter))
	}
}

// truncated sends the first half of a 201 and then ends the connection.
func (s *Server) truncated(w http.ResponseWriter, m *message) {
	body, err := json.Marshal(s.created(m))
	if err != nil {
		abort(w)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // the documented way to end a response in its middle
}

// abort resets the connection without an answer.
func abort(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // not a plain connection; it is closed instead of reset
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // so that closing sends RST
	}
	_ = conn.Close()
}

// wait lets d pass. It says false when the client or the network has gone meanwhile.
func (s *Server) wait(r *http.Request, d Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(time.Duration(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-s.ctx.Done():
	}
	return false
}
