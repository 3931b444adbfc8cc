package twilio

import (
	"fmt"
	"net/http"

	"ansim/notifier"
)

// Code is one of Twilio's error codes, as far as we know what follows from it.
type Code struct {
	Number int
	// Disposition is what follows when the API refuses a text with it. Codes of the 30000s usually come later, with a
	// receipt, where it says whether a further attempt may help.
	Disposition notifier.Disposition
	Ko, En      string // a sentence for people
}

// Source is the page of Twilio's that describes the code.
func (c Code) Source() string {
	return fmt.Sprintf("https://www.twilio.com/docs/api/errors/%d", c.Number)
}

// Explain looks a code up, for people who ask why; false when we know nothing of it.
func Explain(code int) (Code, bool) {
	c, ok := codes[code]
	c.Number = code
	return c, ok
}

// disposition is what follows from a refusal with this status and code. For a code that the table does not have, the status
// decides: 401 and 404 are about the account, so the next text would fare no better; 409 and 423 pass; anything else is
// taken to be about this text, so that it ends where a person sees it at once, and cannot stop the others or be repeated
// until its appointment.
func disposition(status, code int) notifier.Disposition {
	if c, ok := codes[code]; ok {
		return c.Disposition
	}
	switch status {
	case http.StatusUnauthorized, http.StatusNotFound:
		return notifier.Configuration
	case http.StatusConflict, http.StatusLocked:
		return notifier.Later
	default:
		return notifier.Permanent
	}
}

// ending is what the error code of a text that had been taken, and then was not delivered, means for a further attempt. A
// code that the table does not have is taken to pass: the text would else end unseen, and further attempts are few.
func ending(code int) notifier.Disposition {
	switch c, ok := codes[code]; {
	case code == 0:
		return ""
	case ok:
		return c.Disposition
	}
	return notifier.Later
}

const (
	permanent     = notifier.Permanent
	optedOut      = notifier.OptedOut
	configuration = notifier.Configuration
	later         = notifier.Later
)

// codes is data: Twilio's error dictionary, https://www.twilio.com/docs/api/errors, read in 2026. A code belongs to
// configuration only when it holds for every text alike: one that depends on the recipient's number would otherwise let one
// number stop them all.
var codes = map[int]Code{
	// The number.
	21211: {0, permanent, "전화번호가 올바르지 않습니다.", "The phone number is not valid."},
	21214: {0, permanent, "이 번호로는 연결할 수 없습니다.", "This number cannot be reached."},
	21217: {0, permanent, "전화번호 형식이 올바르지 않습니다.", "The phone number is not well formed."},
	21265: {0, permanent, "단축번호로는 보낼 수 없습니다.", "A short code cannot be texted."},
	21266: {0, permanent, "받는 번호와 보내는 번호가 같습니다.", "The recipient is our own sending number."},
	21421: {0, permanent, "전화번호가 올바르지 않습니다.", "The phone number is not valid."},
	21604: {0, permanent, "받는 번호가 없습니다.", "The recipient's number is missing."},
	21612: {0, permanent, "우리 발신번호로는 이 번호에 보낼 수 없습니다.", "Our sender cannot reach this number."},
	21614: {0, permanent, "휴대전화 번호가 아닙니다.", "The number is not a mobile phone's."},
	21635: {0, permanent, "유선전화 번호로는 보낼 수 없습니다.", "A landline cannot be texted."},
	21610: {0, optedOut, "받는 분이 문자 수신을 거부했습니다.", "The person asked for no more texts from this sender."},
	// The text.
	21602: {0, permanent, "문자 내용이 비어 있습니다.", "The text is empty."},
	21617: {0, permanent, "문자가 너무 깁니다.", "The text is too long."},
	21619: {0, permanent, "문자 내용이 비어 있습니다.", "The text is empty."},
	21624: {0, permanent, "문자의 유효 시간이 잘못되었습니다.", "The time for which the text may wait is not valid."},
	21658: {0, permanent, "문자가 너무 깁니다.", "The text is too long."},
	90007: {0, permanent, "문자의 유효 시간이 잘못되었습니다.", "The time for which the text may wait is not valid."},
	// The account and its settings.
	10001: {0, configuration, "문자 발송 계정이 활성 상태가 아닙니다.", "The texting account is not active."},
	20003: {0, configuration, "문자 발송 계정의 인증에 실패했습니다.", "The texting account's credentials were refused."},
	20005: {0, configuration, "문자 발송 계정이 활성 상태가 아닙니다.", "The texting account is not active."},
	20006: {0, configuration, "문자 발송 계정에 권한이 없습니다.", "The texting account was denied access."},
	20008: {0, configuration, "시험용 계정 정보로는 보낼 수 없습니다.", "Test credentials cannot send texts."},
	20403: {0, configuration, "문자 발송 계정에 권한이 없습니다.", "The texting account was denied access."},
	20404: {0, configuration, "문자 발송 계정을 찾을 수 없습니다.", "The texting account was not found."},
	21212: {0, configuration, "발신번호가 올바르지 않습니다.", "Our sending number is not valid."},
	21603: {0, configuration, "발신번호가 설정되지 않았습니다.", "Our sending number is missing."},
	21606: {0, configuration, "발신번호로 문자를 보낼 수 없습니다.", "Our sending number cannot send texts."},
	21609: {0, configuration, "수신 확인 주소가 올바르지 않습니다.", "Our address for delivery reports is not valid."},
	21659: {0, configuration, "발신번호가 문자 사업자의 번호가 아닙니다.", "Our sending number is not one of the provider's."},
	21660: {0, configuration, "발신번호가 이 계정의 번호가 아닙니다.", "Our sending number belongs to another account."},
	21661: {0, configuration, "발신번호로 문자를 보낼 수 없습니다.", "Our sending number cannot send texts."},
	21701: {0, configuration, "문자 서비스를 찾을 수 없습니다.", "The messaging service does not exist."},
	21703: {0, configuration, "문자 서비스에 쓸 수 있는 번호가 없습니다.", "The messaging service has no number available."},
	21704: {0, configuration, "문자 서비스에 번호가 없습니다.", "The messaging service has no numbers."},
	21705: {0, configuration, "문자 서비스가 올바르지 않습니다.", "The messaging service is not valid."},
	// What passes, or depends on settings that hold for some numbers only.
	14107: {0, later, "발송 속도 한도를 넘었습니다.", "The sending rate was exceeded."},
	20409: {0, later, "잠시 후 다시 시도합니다.", "The provider was busy with the same thing."},
	20429: {0, later, "요청이 너무 많아 잠시 후 다시 시도합니다.", "Too many requests at once."},
	21408: {0, later, "이 국가로의 발송이 허용되어 있지 않습니다.", "The account may not text this country yet."},
	21608: {0, later, "시험 계정은 확인된 번호로만 보낼 수 있습니다.", "A trial account may text verified numbers only."},
	21611: {0, later, "발신번호의 대기열이 가득 찼습니다.", "Our sending number's queue is full."},
	63038: {0, later, "하루 발송 한도를 넘었습니다.", "The account's daily limit was reached."},
	// What became of a text that had been taken.
	30001: {0, later, "문자 사업자의 대기열이 가득 찼습니다.", "The provider's queue overflowed."},
	30002: {0, configuration, "문자 발송 계정이 정지되었습니다.", "The texting account was suspended."},
	30003: {0, later, "전화기가 꺼져 있거나 닿지 않습니다.", "The phone is off or out of reach."},
	30004: {0, permanent, "수신이 차단되었습니다.", "The carrier or the person blocked the text."},
	30005: {0, permanent, "없는 번호이거나 사용하지 않는 번호입니다.", "The number is unknown or no longer in use."},
	30006: {0, permanent, "유선전화이거나 문자를 받을 수 없는 번호입니다.", "A landline, or a carrier that takes no texts."},
	30007: {0, permanent, "통신사가 문자를 걸러냈습니다.", "The carrier filtered the text."},
	30008: {0, later, "알 수 없는 이유로 전달되지 않았습니다.", "It was not delivered, and the carrier gave no reason."},
	30036: {0, later, "기다리는 동안 유효 시간이 지났습니다.", "It waited longer than it was valid."},
}
