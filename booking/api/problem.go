package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"ansim/booking"
	"ansim/schema/sqldb"
)

// What ends a request before package booking is asked.
var (
	errKeyMissing = errors.New("no Idempotency-Key")
	errTooLarge   = errors.New("the body is too large")
	errMethod     = errors.New("no such method here")
	errInternal   = errors.New("internal error")
)

// outcome is how an error is told: its slug is the end of the problem's type, and part of the contract.
type outcome struct {
	err    error
	slug   string
	status int
	title  sentence
	detail sentence // {opens_at}, {closes_at} and {version} come from the refusal
	next   sentence // added when the refusal names a next window; {opens_at} is that window's
	retry  string   // Retry-After, seconds, unless the refusal knows better
}

// outcomes is the one table from errors to statuses. The first that matches counts.
var outcomes = []outcome{
	{err: errKeyMissing, slug: "idempotency-key-missing", status: http.StatusBadRequest,
		title:  sentence{"Idempotency-Key is missing", "Idempotency-Key가 없습니다"},
		detail: sentence{"Send an Idempotency-Key header with a value of your own for each thing you want done; repeat it when you repeat the request.", "요청마다 고유한 값을 Idempotency-Key 헤더로 보내고, 같은 요청을 다시 보낼 때는 같은 값을 쓰십시오."}},
	{err: booking.ErrUnauthorized, slug: "unauthorized", status: http.StatusUnauthorized,
		title:  sentence{"No valid API key", "유효한 API 키가 없습니다"},
		detail: sentence{"Send a key that is in force, as Authorization: Bearer KEY.", "사용 중인 키를 Authorization: Bearer KEY 형식으로 보내십시오."}},
	{err: booking.ErrForbidden, slug: "forbidden", status: http.StatusForbidden,
		title:  sentence{"The API key does not allow this", "이 API 키로는 할 수 없는 요청입니다"},
		detail: sentence{"This needs a key with another scope.", "다른 권한을 가진 키가 필요합니다."}},
	{err: booking.ErrNotOpenYet, slug: "not-open-yet", status: http.StatusForbidden,
		title:  sentence{"Booking has not opened yet", "아직 예약이 시작되지 않았습니다"},
		detail: sentence{"Booking opens for this person at {opens_at}. By the server's clock it is {server_time}.", "이 분의 예약은 {opens_at}에 시작됩니다. 현재 서버 시각은 {server_time}입니다."}},
	{err: booking.ErrWindowClosed, slug: "window-closed", status: http.StatusForbidden,
		title:  sentence{"Booking has closed", "예약이 마감되었습니다"},
		detail: sentence{"Booking closed for this person at {closes_at}.", "이 분의 예약은 {closes_at}에 마감되었습니다."},
		next:   sentence{" The next window opens at {opens_at}.", " 다음 예약은 {opens_at}에 시작됩니다."}},
	{err: booking.ErrNotEligible, slug: "not-eligible", status: http.StatusForbidden,
		title:  sentence{"Not eligible", "예약 대상이 아닙니다"},
		detail: sentence{"No rule of the programme admits a person with this birth date.", "이 생년월일은 예약 대상에 해당하지 않습니다."},
		next:   sentence{" The next window that does opens at {opens_at}.", " 다음 예약 대상 기간은 {opens_at}에 시작됩니다."}},
	{err: booking.ErrNoSlot, slug: "not-found", status: http.StatusNotFound,
		title:  sentence{"Not found", "찾을 수 없습니다"},
		detail: sentence{"There is no slot with this slot_id, or it belongs to another programme than the reservation that is to move.", "이 slot_id에 해당하는 예약 시간이 없거나, 변경하려는 예약과 다른 사업의 시간입니다."}},
	{err: booking.ErrNotFound, slug: "not-found", status: http.StatusNotFound,
		title:  sentence{"Not found", "찾을 수 없습니다"},
		detail: sentence{"There is no such thing here, or it belongs to another API key.", "해당 항목이 없거나 다른 API 키의 것입니다."}},
	{err: errNotLookedUp, slug: "not-found", status: http.StatusNotFound,
		title:  sentence{"Not found", "찾을 수 없습니다"},
		detail: sentence{"No reservation has this code and this birth date. Check both: the code is in the text that came when you booked.", "이 예약번호와 생년월일에 해당하는 예약이 없습니다. 예약 문자에 있는 예약번호와 생년월일을 확인해 주십시오."}},
	{err: errMethod, slug: "method-not-allowed", status: http.StatusMethodNotAllowed,
		title:  sentence{"Method not allowed", "허용되지 않는 메서드입니다"},
		detail: sentence{"The Allow header names the methods that can be used here.", "여기서 쓸 수 있는 메서드는 Allow 헤더에 있습니다."}},
	{err: booking.ErrSlotFull, slug: "slot-full", status: http.StatusConflict,
		title:  sentence{"The slot is full", "예약이 가득 찼습니다"},
		detail: sentence{"No place is left at that time. Nothing was booked; alternatives lists times that had places.", "해당 시간에는 남은 자리가 없어 예약되지 않았습니다. alternatives에 자리가 있던 다른 시간이 있습니다."}},
	{err: booking.ErrAlreadyBooked, slug: "already-booked", status: http.StatusConflict,
		title:  sentence{"Already booked", "이미 예약되어 있습니다"},
		detail: sentence{"This person has an active reservation in this programme.", "이 분은 이 사업에 이미 유효한 예약이 있습니다."}},
	{err: booking.ErrKeyInProgress, slug: "idempotency-in-progress", status: http.StatusConflict, retry: "1",
		title:  sentence{"The same request is under way", "같은 요청을 처리하고 있습니다"},
		detail: sentence{"A request with this Idempotency-Key has not been answered yet. Repeat it with the same key after Retry-After seconds.", "이 Idempotency-Key의 요청을 아직 처리하고 있습니다. Retry-After초 뒤에 같은 키로 다시 보내십시오."}},
	{err: booking.ErrAppointmentPast, slug: "not-changeable", status: http.StatusConflict,
		title:  sentence{"The reservation can no longer be changed", "더 이상 변경할 수 없는 예약입니다"},
		detail: sentence{"Its time has come: a text would arrive too late to help, so none is sent again.", "예약 시각이 지났습니다. 지금 보내는 문자는 도움이 되지 않으므로 다시 보내지 않습니다."}},
	{err: booking.ErrNotChangeable, slug: "not-changeable", status: http.StatusConflict,
		title:  sentence{"The reservation can no longer be changed", "더 이상 변경할 수 없는 예약입니다"},
		detail: sentence{"It is cancelled already, or its time has come.", "이미 취소되었거나 예약 시각이 지났습니다."}},
	{err: booking.ErrOutcomeUnknown, slug: "outcome-unknown", status: http.StatusConflict, retry: "60",
		title:  sentence{"Whether the last text was sent is not known yet", "마지막 문자가 발송되었는지 아직 알 수 없습니다"},
		detail: sentence{"The provider has not answered to the last text, or its answer was lost, and the text is being looked up there. Nothing was sent again. Asking again after Retry-After seconds is better: by then it is usually known. To send now, at the risk of a second copy, repeat the request with even_if_unknown: true and a new Idempotency-Key.", "마지막 문자의 발송 결과를 아직 받지 못해 발송 업체에서 그 문자를 조회하고 있습니다. 다시 보내지 않았습니다. 대개 곧 확인되므로 Retry-After초 뒤에 다시 요청하는 것이 좋습니다. 같은 문자가 두 번 갈 수 있음을 감수하고 지금 보내려면 even_if_unknown: true와 새 Idempotency-Key로 다시 요청하십시오."}},
	{err: booking.ErrVersionMismatch, slug: "version-mismatch", status: http.StatusPreconditionFailed,
		title:  sentence{"The reservation has changed", "예약이 변경되었습니다"},
		detail: sentence{"If-Match names another version than the reservation has. Read it again, then decide.", "If-Match의 버전이 현재 예약의 버전과 다릅니다. 예약을 다시 조회한 뒤 결정하십시오."}},
	{err: errTooLarge, slug: "too-large", status: http.StatusRequestEntityTooLarge,
		title:  sentence{"The body is too large", "본문이 너무 큽니다"},
		detail: sentence{"A body may have 65,536 bytes.", "본문은 65,536바이트까지 보낼 수 있습니다."}},
	{err: &invalid{}, slug: "validation", status: http.StatusUnprocessableEntity,
		title:  sentence{"The request has invalid fields", "요청에 잘못된 필드가 있습니다"},
		detail: sentence{"errors lists each field that is wrong and says what would be right. Nothing was done.", "errors에 잘못된 필드와 올바른 형식이 있습니다. 아무것도 처리되지 않았습니다."}},
	{err: booking.ErrKeyReused, slug: "idempotency-key-reused", status: http.StatusUnprocessableEntity,
		title:  sentence{"The Idempotency-Key was used for another request", "다른 요청에 사용한 Idempotency-Key입니다"},
		detail: sentence{"A key stands for one request. Use a new key for a new request.", "키 하나는 요청 하나에만 쓸 수 있습니다. 새 요청에는 새 키를 쓰십시오."}},
	{err: booking.ErrKeyRate, slug: "rate-limited", status: http.StatusTooManyRequests, retry: "1",
		title:  sentence{"This API key asks too often", "이 API 키의 요청이 너무 많습니다"},
		detail: sentence{"The key has a limit of requests a second, and it is used up. Nothing was done; repeat the request after Retry-After seconds.", "이 키의 초당 요청 한도를 넘었습니다. 아무것도 처리되지 않았습니다. Retry-After초 뒤에 다시 보내십시오."}},
	{err: booking.ErrTooManyLookups, slug: "rate-limited", status: http.StatusTooManyRequests, retry: "60",
		title:  sentence{"Too many lookups have failed", "조회 실패가 너무 많습니다"},
		detail: sentence{"Lookups with this code or from this address have failed too often. Your reservation is as it was; try again after Retry-After seconds, with the code of the text.", "이 예약번호 또는 이 주소에서 조회가 너무 많이 실패했습니다. 예약에는 변함이 없습니다. Retry-After초 뒤에 문자에 있는 예약번호로 다시 시도해 주십시오."}},
	{err: booking.ErrTextPending, slug: "rate-limited", status: http.StatusTooManyRequests, retry: "60",
		title:  sentence{"Asked again too soon", "너무 빨리 다시 요청했습니다"},
		detail: sentence{"The last text is still on its way: it waits to be handed to the provider, and goes out by itself; a second one would only stand behind it. Look at the reservation again after Retry-After seconds.", "마지막 문자가 아직 발송을 기다리고 있으며 자동으로 발송됩니다. 다시 요청해도 더 빨리 가지 않습니다. Retry-After초 뒤에 예약을 다시 조회하십시오."}},
	{err: booking.ErrCoolDown, slug: "rate-limited", status: http.StatusTooManyRequests, retry: "60",
		title:  sentence{"Asked again too soon", "너무 빨리 다시 요청했습니다"},
		detail: sentence{"A text of this reservation was caused a moment ago; give it time to arrive. Look at the reservation first, and ask again after Retry-After seconds if you still need to.", "이 예약의 문자를 조금 전에 보냈습니다. 도착할 시간을 두고 예약을 먼저 조회한 뒤, 그래도 필요하면 Retry-After초 뒤에 다시 요청하십시오."}},
	{err: booking.ErrOverloaded, slug: "overloaded", status: http.StatusServiceUnavailable, retry: "1",
		title:  sentence{"Too many requests are waiting", "대기 중인 요청이 너무 많습니다"},
		detail: sentence{"Repeat the request, with the same Idempotency-Key, after Retry-After seconds.", "Retry-After초 뒤에 같은 Idempotency-Key로 다시 보내십시오."}},
	{err: errInternal, slug: "internal", status: http.StatusInternalServerError,
		title:  sentence{"Something went wrong on our side", "서버에 문제가 발생했습니다"},
		detail: sentence{"Whether the request was carried out is not certain. Repeat it with the same Idempotency-Key: nothing is done twice.", "요청이 처리되었는지 확실하지 않습니다. 같은 Idempotency-Key로 다시 보내십시오. 두 번 처리되지는 않습니다."}},
}

// outcomeOf finds err in the table; what is not there is internal and shows nothing of itself.
func outcomeOf(err error) outcome {
	var bad *invalid
	isInvalid := errors.As(err, &bad)
	// A server that stops, or a deadline that passed: come back with the same key.
	away := errors.Is(err, sqldb.ErrOverloaded) || errors.Is(err, sqldb.ErrStopped) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled)
	for _, o := range outcomes {
		if _, forInvalid := o.err.(*invalid); forInvalid && isInvalid || errors.Is(err, o.err) {
			return o
		}
		if away && o.slug == "overloaded" {
			return o
		}
	}
	return outcomes[len(outcomes)-1]
}

// problemBody is a problem document (RFC 9457) with the members that our problems add.
type problemBody struct {
	Type         string        `json:"type" doc:"Says what kind of problem this is: /problems/ and its slug." example:"/problems/slot-full"`
	Title        string        `json:"title"`
	Status       int           `json:"status"`
	Detail       string        `json:"detail"`
	Errors       []problemItem `json:"errors,omitempty" nullable:"false" doc:"validation: each field that is wrong."`
	Rule         string        `json:"rule,omitempty" doc:"not-open-yet, window-closed, not-eligible: the rule that decided; absent when the programme's own window did."`
	OpensAt      string        `json:"opens_at,omitempty" format:"date-time" doc:"not-open-yet, window-closed"`
	ClosesAt     string        `json:"closes_at,omitempty" format:"date-time" doc:"not-open-yet, window-closed"`
	ServerTime   string        `json:"server_time,omitempty" format:"date-time" doc:"The time by which it was judged."`
	NextWindow   *windowJSON   `json:"next_window,omitempty" doc:"window-closed, not-eligible: the next window that admits this person."`
	Alternatives []slotJSON    `json:"alternatives,omitempty" nullable:"false" doc:"slot-full: times that had places."`
	Version      int           `json:"version,omitempty" doc:"version-mismatch: the version that the reservation has."`
}

// problemItem is one field of a validation problem.
type problemItem struct {
	Field  string `json:"field" example:"resident.phone" doc:"Path of the field, a header's name, or body."`
	Code   string `json:"code" example:"phone"`
	Detail string `json:"detail" doc:"What would be right."`
}

type windowJSON struct {
	Rule     string `json:"rule,omitempty"`
	OpensAt  string `json:"opens_at" format:"date-time"`
	ClosesAt string `json:"closes_at" format:"date-time"`
}

// problemOf writes err as a problem in the language.
func problemOf(err error, lang string) (outcome, problemBody) {
	o := outcomeOf(err)
	p := problemBody{Type: "/problems/" + o.slug, Title: o.title.in(lang), Status: o.status, Detail: o.detail.in(lang)}
	var bad *invalid
	if errors.As(err, &bad) {
		for _, f := range bad.fields {
			p.Errors = append(p.Errors, problemItem{f.field, f.code, f.text(lang)})
		}
	}
	var r *booking.Refusal
	if !errors.As(err, &r) {
		return o, p
	}
	p.Rule, p.OpensAt, p.ClosesAt, p.ServerTime = r.Rule, stamp(r.OpensAt), stamp(r.ClosesAt), stamp(r.ServerTime)
	p.Version = r.Version
	p.Detail = strings.NewReplacer("{opens_at}", p.OpensAt, "{closes_at}", p.ClosesAt, "{server_time}", p.ServerTime).Replace(p.Detail)
	if w := r.NextWindow; w != nil {
		p.NextWindow = &windowJSON{w.Rule, stamp(w.OpensAt), stamp(w.ClosesAt)}
		p.Detail += strings.ReplaceAll(o.next.in(lang), "{opens_at}", p.NextWindow.OpensAt)
	}
	for _, s := range r.Alternatives {
		p.Alternatives = append(p.Alternatives, slotOf(s))
	}
	return o, p
}

// stamp is a time as the API writes it, with its zone's offset; "" for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// writeProblem answers with the problem that err is.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) outcome {
	lang := languageOf(r.Header.Get("Accept-Language"))
	o, p := problemOf(err, lang)
	body, _ := json.Marshal(p) // strings and numbers alone
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Language", lang)
	h.Set("Vary", "Accept-Language")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if o.retry != "" {
		h.Set("Retry-After", o.retry)
	}
	if o.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="ansim"`)
	}
	var refusal *booking.Refusal
	if errors.As(err, &refusal) {
		if refusal.Replayed {
			h.Set(headerReplayed, "true")
		}
		if d := refusal.RetryAfter; d > 0 { // whole seconds, none too early
			h.Set("Retry-After", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
		}
	}
	w.WriteHeader(o.status)
	_, _ = w.Write(body)
	return o
}

// languages are those that problems are written in; the first is for whoever asks for neither, or for nothing.
var languages = language.NewMatcher([]language.Tag{language.English, language.Korean})

// languageOf is "ko" or "en", by an Accept-Language header.
func languageOf(accept string) string {
	if accept == "" || len(accept) > 500 {
		return "en"
	}
	if _, i := language.MatchStrings(languages, accept); i == 1 {
		return "ko"
	}
	return "en"
}
