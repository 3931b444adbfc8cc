package notifier

// Sentence is what a person is told.
type Sentence struct{ Ko, En string }

// Explain says for people why a text stands where it does, by its reason; false for the provider's error codes ("error-NNN"),
// which the provider's package explains, and for words that this program does not know.
func Explain(reason string) (Sentence, bool) {
	s, ok := sentences[reason]
	return s, ok
}

// sentences are what our own reasons mean. They say what happened and what happens next, and blame nobody.
var sentences = map[string]Sentence{
	ReasonCancelled: {"예약이 취소되어 이 문자는 보내지 않았습니다.", "The reservation was cancelled, so this text was not sent."},
	ReasonMaybeSent: {"보냈는지 확인하는 중에 예약이 취소되었습니다. 이 문자가 도착했을 수도 있습니다.",
		"The reservation was cancelled while it was being found out whether this text had been sent. It may have arrived."},
	ReasonSuperseded: {"예약이 변경되어 새 문자로 대신했습니다.", "The reservation was changed, and a newer text says so instead."},
	ReasonSentAgain: {"보냈는지 확인하는 동안 요청에 따라 다시 보냈습니다. 이 문자도 도착했을 수 있습니다.",
		"It was sent again on request while it was being found out whether this one had been. This one may have arrived, too."},
	ReasonPast:          {"예약 시간이 지나 더 보내지 않습니다.", "The appointment has passed, so it is no longer sent."},
	ReasonNoRecipient:   {"받는 사람이 없어 보내지 않았습니다.", "There is nobody to send it to."},
	ReasonNoReservation: {"예약을 찾을 수 없어 멈췄습니다. 담당자가 확인합니다.", "Its reservation could not be found. A member of staff has to look at it."},
	ReasonCannotRender:  {"문자 내용을 만들 수 없어 멈췄습니다. 담당자가 확인합니다.", "Its words could not be written. A member of staff has to look at it."},
	ReasonOptedOut: {"이 번호는 문자 수신을 거부했습니다. 수신을 다시 허용하거나 다른 번호를 알려 주세요.",
		"This number has opted out of texts. Allow them again, or give another number."},
	ReasonThrottled:  {"보낼 문자가 많아 차례를 기다립니다.", "Many texts are being sent; it waits for its turn."},
	ReasonNotReached: {"문자 사업자에 연결되지 않아 곧 다시 시도합니다.", "The text provider could not be reached; it is tried again soon."},
	ReasonConfiguration: {"문자 발송 설정에 문제가 있어 담당자가 고치고 있습니다. 고쳐지면 자동으로 보냅니다.",
		"There is a problem with the settings for texts. It is sent by itself once that is mended."},
	ReasonAnswerLost: {"문자를 넘겼지만 접수되었는지 확인되지 않았습니다. 두 번 가지 않도록 먼저 확인한 뒤에 다시 보냅니다.",
		"It was handed over, and the answer was lost. It is found out what became of it before it is sent again."},
	ReasonLookupFailed: {"접수되었는지 확인할 수 없었습니다. 담당자가 확인합니다.",
		"It could not be found out whether it was taken. A member of staff has to decide."},
	ReasonLookingUp:   {"보낸 문자가 접수되었는지 확인하고 있습니다.", "We are finding out whether the text was taken."},
	ReasonUnconfirmed: {"통신사에 전달했지만 사흘이 지나도 도착 확인이 없습니다.", "It was handed to the carrier, and three days later nobody has confirmed that it arrived."},
}
