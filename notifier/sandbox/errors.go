package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// apiError is an error as Twilio's API states it.
type apiError struct {
	Code     int    `json:"code"`
	Message  string `json:"message"`
	MoreInfo string `json:"more_info"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
}

// refusals are the sentences of the codes with which a request is refused; %s is the number concerned.
var refusals = map[int]struct {
	status int
	text   string
}{
	20001: {400, "Bad request"},
	20003: {401, "Authenticate"},
	20004: {405, "Method not allowed"},
	20007: {400, "Page size too large. The maximum page size is 1000"},
	20404: {404, "The requested resource %s was not found"},
	20429: {429, "Too Many Requests"},
	20500: {500, "An internal server error has occurred"},
	20503: {503, "Service Unavailable"},
	21211: {400, "Invalid 'To' Phone Number: %s"},
	21212: {400, "Invalid From Number (caller ID): %s"},
	21266: {400, "'To' and 'From' number cannot be the same: %s"},
	21408: {400, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: %s"},
	21602: {400, "Message body is required."},
	21603: {400, "A 'From' phone number is required."},
	21604: {400, "A 'To' phone number is required."},
	21606: {400, "The 'From' phone number provided (%s) is not a valid message-capable Twilio phone number for this destination/account"},
	21609: {400, "The 'StatusCallback' URL %s is not a valid URL."},
	21610: {400, "Attempt to send to unsubscribed recipient"},
	21611: {429, "This 'From' number has exceeded the maximum number of queued messages"},
	21612: {400, "Message cannot be sent with the current combination of 'To' (%s) and/or 'From' parameters"},
	21614: {400, "'To' number is not a valid mobile number: %s"},
	21617: {400, "The concatenated message body exceeds the 1600 character limit."},
	21701: {404, "The Messaging Service %s does not exist."},
	30001: {400, "Queue overflow"},
	63038: {429, "Account exceeded the daily messages limit"},
}

// reasons say in a few words what a code means, English and Korean: those with which a text ends after it was taken, and
// those of the magic numbers.
var reasons = map[int][2]string{
	30001: {"Queue overflow", "대기열이 넘쳤어요"},
	30002: {"Account suspended", "발신 계정이 정지됐어요"},
	30003: {"Unreachable destination handset", "전화기가 꺼져 있거나 신호가 닿지 않아요"},
	30004: {"Message blocked", "받는 분이 차단했어요"},
	30005: {"Unknown destination handset", "없는 번호예요"},
	30006: {"Landline or unreachable carrier", "문자를 받을 수 없는 유선전화예요"},
	30007: {"Message filtered", "통신사가 스팸으로 걸렀어요"},
	30008: {"Unknown error", "통신사가 이유를 알려 주지 않았어요"},
	30034: {"Message from an unregistered number", "등록되지 않은 발신번호예요"},
	21211: {"Invalid number", "잘못된 번호예요"},
	21212: {"Invalid sender", "잘못된 발신번호예요"},
	21408: {"Region not permitted", "보낼 수 없는 지역이에요"},
	21606: {"Not our sender", "우리 발신번호가 아니에요"},
	21610: {"Unsubscribed", "수신을 거부했어요"},
	21611: {"Sender's queue is full", "발신 대기열이 가득 찼어요"},
	21612: {"No route", "보낼 길이 없어요"},
	21614: {"Not a mobile number", "휴대전화 번호가 아니에요"},
	30036: {"Validity period expired", "유효 시간이 지났어요"},
}

func reasonOf(code int, korean bool) string {
	r, ok := reasons[code]
	switch {
	case ok && korean:
		return r[1]
	case ok:
		return r[0]
	case korean:
		return "통신사 오류"
	}
	return "Carrier error"
}

func refusal(code int, about string) apiError {
	r, ok := refusals[code]
	if !ok {
		r.status, r.text = http.StatusBadRequest, "Bad request"
	}
	text := strings.Replace(r.text, "%s", about, 1)
	e := apiError{Code: code, Message: text, MoreInfo: fmt.Sprintf("https://www.twilio.com/docs/errors/%d", code), Status: r.status}
	if code == 20003 {
		e.Detail = "Your AccountSid or AuthToken was incorrect."
	}
	return e
}

// reply is an answer of the API as it would be without a fault.
type reply struct {
	status int
	body   []byte // JSON
}

func errorReply(e apiError) reply {
	body, err := json.Marshal(e)
	if err != nil {
		body = []byte("{}") // cannot be: strings and numbers only
	}
	return reply{e.Status, append(body, '\n')}
}

const jsonType = "application/json;charset=utf-8"

func (t reply) write(w http.ResponseWriter, contentType string) {
	h := w.Header()
	h["Content-Type"] = []string{contentType}
	if t.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="Twilio API"`)
	}
	h["Content-Length"] = []string{strconv.Itoa(len(t.body))}
	w.WriteHeader(t.status)
	_, _ = w.Write(t.body) // the client has gone; there is no one to tell
}

func writeError(w http.ResponseWriter, e apiError) { errorReply(e).write(w, jsonType) }

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone; there is no one to tell
}
