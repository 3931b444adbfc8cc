package sandbox

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer tells the client what rule wants it to see instead of the truth; about is the value that a refusal names.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, rule Rule, truth reply, about func(code int) string) {
	if rule.Answer != AnswerSlow && !s.wait(r, rule.Delay) {
		return // the client has gone, or the network is closing
	}
	switch rule.Answer {
	case "", AnswerOK:
		truth.write(w, jsonType)
	case AnswerHang:
		select {
		case <-r.Context().Done():
		case <-s.ctx.Done():
			abort(w)
		}
	case AnswerDrop, AnswerRefuse:
		abort(w)
	case AnswerTruncated:
		truncated(w, truth)
	case AnswerSlow:
		s.slow(w, truth, time.Duration(rule.Delay))
	case AnswerHuge:
		huge(w, truth)
	case AnswerJunk:
		raw(w, response(truth, junkHeaders()))
	case AnswerGarbage:
		raw(w, bytes.Repeat([]byte("\x16\x03\x01\x02\xff \x00\r\n"), 100))
	case AnswerWrongType:
		truth.write(w, "text/html; charset=utf-8")
	case AnswerNotJSON:
		reply{http.StatusOK, []byte("<html>\r\n<head><title>Sign in to the network</title></head>\r\n</html>\r\n")}.write(w, jsonType)
	case Answer503:
		retryAfter(w, rule)
		reply{http.StatusServiceUnavailable, []byte("<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n" +
			"<body><center><h1>503 Service Temporarily Unavailable</h1></center></body>\r\n</html>\r\n")}.write(w, "text/html")
	case Answer429:
		retryAfter(w, rule)
		writeError(w, refusal(20429, ""))
	case Answer500:
		writeError(w, refusal(20500, ""))
	case Answer401:
		writeError(w, refusal(20003, ""))
	default:
		code, _ := strconv.Atoi(strings.TrimPrefix(string(rule.Answer), answerCode)) // checked by Rule.check
		writeError(w, refusal(code, about(code)))
	}
}

func retryAfter(w http.ResponseWriter, rule Rule) {
	if rule.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(rule.RetryAfter))
	}
}

// truncated sends the first half of an answer and then ends the connection.
func truncated(w http.ResponseWriter, truth reply) {
	w.Header().Set("Content-Type", jsonType)
	w.Header().Set("Content-Length", strconv.Itoa(len(truth.body)))
	w.WriteHeader(truth.status)
	_, _ = w.Write(truth.body[:len(truth.body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // the documented way to end a response in its middle
}

// hugeSize is how much white space stands before a huge answer.
const hugeSize = 10 << 20

// huge sends white space without end, as it must seem to the client, and then the truth. A client that reads it all can
// parse it; one that sets a bound cannot know what it said.
func huge(w http.ResponseWriter, truth reply) {
	w.Header().Set("Content-Type", jsonType)
	w.Header().Set("Content-Length", strconv.Itoa(hugeSize+len(truth.body)))
	w.WriteHeader(truth.status)
	blank := bytes.Repeat([]byte{' '}, 64<<10)
	for sent := 0; sent < hugeSize; sent += len(blank) {
		if _, err := w.Write(blank); err != nil {
			return // the client has had enough
		}
	}
	_, _ = w.Write(truth.body)
}

// response is an answer as it travels, with more header lines where the caller has some. The connection ends after it.
func response(truth reply, headers []byte) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", truth.status, http.StatusText(truth.status))
	out.Write(headers)
	fmt.Fprintf(&out, "Content-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", jsonType, len(truth.body))
	out.Write(truth.body)
	return out.Bytes()
}

// junkHeaders are a hundred lines that say nothing, and some that say it wrongly. HTTP allows each of them.
func junkHeaders() []byte {
	var out bytes.Buffer
	out.WriteString("Content-Type: \x80\xfe\xff; charset=\r\nRetry-After: yesterday, perhaps\r\nDate: Thu, 32 Foo 2021 25:61:61 GMT\r\n" +
		"Content-Encoding: identity\r\nTwilio-Request-Id:\r\nLocation: ://\r\nSet-Cookie: =;=;=\r\n")
	for i := range 100 {
		fmt.Fprintf(&out, "X-Junk-%d: %s\r\n", i%7, strings.Repeat("\xe9~ \t", 8+i))
	}
	fmt.Fprintf(&out, "X-Long: %s\r\n", strings.Repeat("0123456789abcdef", 2048))
	return out.Bytes()
}

// slow sends an answer byte after byte, its status line included, until the client goes away or has it all.
func (s *Server) slow(w http.ResponseWriter, truth reply, pause time.Duration) {
	if pause <= 0 {
		pause = time.Second
	}
	conn := hijack(w)
	defer conn.Close()
	next := time.NewTicker(pause)
	defer next.Stop()
	for _, b := range response(truth, nil) {
		if _, err := conn.Write([]byte{b}); err != nil {
			return
		}
		select {
		case <-next.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// raw sends bytes as they are, and then ends the connection.
func raw(w http.ResponseWriter, bytes []byte) {
	conn := hijack(w)
	_, _ = conn.Write(bytes)
	_ = conn.Close()
}

// abort resets the connection without an answer.
func abort(w http.ResponseWriter) {
	conn := hijack(w)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // so that closing sends RST
	}
	_ = conn.Close()
}

// hijack takes the connection from the server. It ends the response where there is no plain connection to take.
func hijack(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn
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
