package app

import (
	"strconv"
	"strings"

	"ansim/notifier"
	"ansim/notifier/twilio"
)

// errorCode is the provider's code in the reason of a text, false when there is none.
func errorCode(reason string) (int, bool) {
	digits, ok := strings.CutPrefix(reason, "error-")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil
}

// Explain says for people why a text stands where it does: our own reasons by the notifier's table, the provider's codes by
// the provider's. A code that nobody knows says at least that; other words have no sentence.
func Explain(reason string) (s notifier.Sentence) {
	if s, ok := notifier.Explain(reason); ok {
		return s
	}
	n, ok := errorCode(reason)
	if !ok {
		return s
	}
	if c, ok := twilio.Explain(n); ok {
		return notifier.Sentence{Ko: c.Ko, En: c.En}
	}
	return notifier.Sentence{
		Ko: "통신사 또는 문자 사업자가 알려지지 않은 이유로 문자를 전하지 못했습니다. 담당자에게 문의해 주세요.",
		En: "The carrier or the text provider gave a reason that is not known here. Please ask the staff.",
	}
}

// explain is Explain in one language.
func explain(reason, language string) string {
	s := Explain(reason)
	if language == "en" {
		return s.En
	}
	return s.Ko
}

// Permanent says whether a text that ended for this reason would fail again as it is. Of codes that nobody explains we do not
// know.
func Permanent(reason string) bool {
	if reason == notifier.ReasonOptedOut {
		return true
	}
	if n, ok := errorCode(reason); ok {
		c, known := twilio.Explain(n)
		return known && (c.Ending == notifier.Permanent || c.Ending == notifier.OptedOut)
	}
	return false
}
