package twilio

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxFields is how many fields a callback may have; Twilio's have about a dozen.
const maxFields = 64

// statuses are Twilio's words for an outgoing text.
// Source: https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
var statuses = []string{
	"accepted", "scheduled", "queued", "sending", "sent", "delivered", "read", "undelivered", "failed", "canceled",
}

var (
	keyForm  = regexp.MustCompile(`^[A-Za-z]{1,64}$`)
	codeForm = regexp.MustCompile(`^(0|[0-9]{5,6})?$`)
)

// essential are the fields that we believe. The signature covers keys and values run together, with nothing between them, so
// whoever has seen one signed callback can move the boundaries: ErrorCode=30003 signs like Error=Code30003, and like a value
// before it that ends in Error. So keys are letters alone, values have fixed forms, and one of these names may be nowhere in
// the signed bytes but inside a key.
var essential = []string{"AccountSid", "MessageSid", "MessageStatus", "ErrorCode", "SmsSid", "SmsStatus"}

// ParseStatusForm reads the body of a status callback of the account. The Token of the result is empty: it is in the URL.
// Errors say in a few words what is wrong, and quote nothing.
func ParseStatusForm(body, account string) (Receipt, error) {
	form, err := parseForm(body)
	if err != nil {
		return Receipt{}, err
	}
	return statusOf(form, account)
}

// parseForm reads a form in which each key comes once.
func parseForm(body string) (map[string]string, error) {
	if strings.Count(body, "&") >= maxFields { // before any work is done for them
		return nil, errors.New("too many fields")
	}
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, errors.New("unreadable form")
	}
	form := make(map[string]string, len(values))
	for k, v := range values {
		if len(v) != 1 {
			return nil, errors.New("duplicate field")
		}
		if !utf8.ValidString(v[0]) || strings.ContainsRune(v[0], 0) {
			return nil, errors.New("unreadable form")
		}
		form[k] = v[0]
	}
	return form, nil
}

// statusOf checks the fields of a callback.
func statusOf(form map[string]string, account string) (Receipt, error) {
	for k := range form {
		if !keyForm.MatchString(k) {
			return Receipt{}, errors.New("malformed field name")
		}
	}
	if hides(form) {
		return Receipt{}, errors.New("a field's name outside the names")
	}
	r := Receipt{SID: form["MessageSid"], Status: form["MessageStatus"]}
	smsSID, hasSID := form["SmsSid"]
	smsStatus, hasStatus := form["SmsStatus"]
	code := form["ErrorCode"]
	switch {
	case form["AccountSid"] != account:
		return Receipt{}, errors.New("foreign account")
	case !isTextSID(r.SID):
		return Receipt{}, errors.New("malformed message SID")
	case !slices.Contains(statuses, r.Status):
		return Receipt{}, errors.New("unknown status")
	case hasSID && smsSID != r.SID, hasStatus && smsStatus != r.Status:
		return Receipt{}, errors.New("fields that contradict each other")
	case !codeForm.MatchString(code):
		return Receipt{}, errors.New("malformed error code")
	}
	if code != "" {
		r.ErrorCode, _ = strconv.Atoi(code)
		r.Disposition = ending(r.ErrorCode)
	}
	return r, nil
}

// hides says whether the signed bytes hold an essential name that no key holds.
func hides(form map[string]string) bool {
	signed := signedFields(form)
	return slices.ContainsFunc(essential, func(name string) bool {
		inKeys := 0
		for k := range form {
			inKeys += strings.Count(k, name)
		}
		return strings.Count(signed, name) != inKeys
	})
}
