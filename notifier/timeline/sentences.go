package timeline

// sentence is what a person is told of an entry. When and why stand beside it.
type sentence struct{ ko, en string }

var sentences = map[Type]sentence{
	Booked:          {"예약했습니다.", "The place was booked."},
	Rescheduled:     {"예약 시간 또는 장소를 변경했습니다.", "It was moved to another time or place."},
	Corrected:       {"이름, 전화번호 또는 언어를 고쳤습니다.", "The name, the number or the language was corrected."},
	Cancelled:       {"예약을 취소했습니다.", "It was cancelled."},
	ResendRequested: {"문자를 다시 보내 달라는 요청이 있었습니다.", "The text was asked for again."},
	Queued:          {"문자가 발송을 기다립니다.", "The text waits to be sent."},
	Handed:          {"문자를 문자 사업자에 넘겼습니다.", "The text was handed to the provider."},
	NotSent:         {"문자 사업자에 전달되지 않았습니다. 자동으로 다시 보냅니다.", "It did not reach the provider. It is sent again by itself."},
	Refused:         {"문자 사업자가 문자를 받지 않았습니다.", "The provider did not take the text."},
	Unknown:         {"문자 사업자가 받았는지 알 수 없어 확인하고 있습니다.", "Whether the provider took it was not known, and is being found out."},
	Accepted:        {"문자 사업자가 접수했습니다. 휴대전화의 확인은 아직 없습니다.", "The provider has taken it. The phone has not confirmed yet."},
	Found:           {"확인해 보니 문자 사업자가 받은 문자였습니다.", "It was found: the provider had taken it."},
	OnItsWay:        {"통신사에 전달되었습니다.", "The carrier has it."},
	Delivered:       {"휴대전화에 도착했습니다.", "It has arrived at the phone."},
	Undelivered:     {"휴대전화에 도착하지 못했습니다.", "It could not be delivered to the phone."},
	Unconfirmed:     {"도착했는지 확인되지 않았습니다.", "Nobody has confirmed that it arrived."},
	Held:            {"담당자의 결정을 기다립니다.", "It waits for a member of staff to decide."},
	Failed:          {"문자를 보내지 못했습니다.", "The text could not be sent."},
	Suppressed:      {"이 문자는 더 보내지 않습니다.", "This text is not sent any more."},
}

// Sentence says in the language ("ko" or "en") what happened.
func (e Entry) Sentence(language string) string {
	s := sentences[e.Type]
	if language == "ko" {
		return s.ko
	}
	return s.en
}
