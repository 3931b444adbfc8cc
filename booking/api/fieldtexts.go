package api

import (
	"strings"

	"ansim/booking"
)

// Codes of field errors beside those of booking.ValidationProblem. They are part of the contract.
const (
	codeMalformed   = "malformed-json"
	codeNotUTF8     = "not-utf-8"
	codeTrailing    = "trailing-data"
	codeTooDeep     = "too-deep"
	codeRawControl  = "raw-control-character"
	codeDuplicate   = "duplicate"
	codeUnknown     = "unknown"
	codeMissing     = "missing"
	codeNull        = "null"
	codeNotString   = "not-a-string"
	codeNotObject   = "not-an-object"
	codeNotBool     = "not-a-boolean"
	codeNoBooker    = "no-booker"
	codeEmpty       = "empty"
	codeID          = "id"
	codeOneOf       = "one-of"
	codeAnyOf       = "any-of"
	codeQuery       = "query"
	codeTime        = "date-time"
	codeTimeOrder   = "date-time-order"
	codeCursor      = "cursor"
	codeLimit       = "limit"
	codeContentType = "content-type"
	codeIfMatch     = "if-match"
	codeUnread      = "unread"
	codeMoreErrors  = "more-errors"
	codeWrong       = "wrong"
)

// What a malformed body should have had where it went wrong; keys of wantTexts.
const (
	wantValue          = "value"
	wantName           = "name"
	wantColon          = "colon"
	wantCommaOrBrace   = "comma-or-brace"
	wantCommaOrBracket = "comma-or-bracket"
	wantDigit          = "digit"
	wantQuote          = "quote"
	wantEscape         = "escape"
	wantPair           = "pair"
)

// sentence is a text in both languages.
type sentence struct{ en, ko string }

func (s sentence) in(language string) string {
	if language == "ko" {
		return s.ko
	}
	return s.en
}

// wantTexts complete the text of codeMalformed.
var wantTexts = map[string]sentence{
	wantValue:          {"a value (a string in quotes, or an object in braces)", "값(따옴표로 묶은 문자열 또는 중괄호로 묶은 객체)"},
	wantName:           {"a field's name in double quotes", "큰따옴표로 묶은 필드 이름"},
	wantColon:          {"a colon", "콜론(:)"},
	wantCommaOrBrace:   {"a comma or a closing brace", "쉼표 또는 닫는 중괄호"},
	wantCommaOrBracket: {"a comma or a closing bracket", "쉼표 또는 닫는 대괄호"},
	wantDigit:          {"a digit", "숫자"},
	wantQuote:          {"the closing quote of a string", "문자열을 닫는 따옴표"},
	wantEscape:         {"one of the escapes of JSON, such as \\n or \\u00e9,", "\\n 이나 \\u00e9 같은 JSON 이스케이프"},
	wantPair:           {"the second half of a surrogate pair", "서로게이트 쌍의 나머지 절반"},
}

// fieldTexts say for each code what would be right. {arg} is the error's argument; {byte}, {line}, {column} and {want} are
// the position in a malformed body and what was expected there.
var fieldTexts = map[string]sentence{
	codeMalformed: {"This is not JSON: at byte {byte} (line {line}, column {column}) {want} was expected.",
		"JSON 형식이 아닙니다. {byte}번째 바이트({line}행 {column}열)에는 {want}이(가) 와야 합니다."},
	codeNotUTF8: {"JSON is written in UTF-8; byte {byte} (line {line}, column {column}) is not part of a UTF-8 character.",
		"JSON은 UTF-8로 작성해야 합니다. {byte}번째 바이트({line}행 {column}열)는 UTF-8 문자가 아닙니다."},
	codeTrailing: {"Send one JSON object and nothing after it; something follows at byte {byte} (line {line}, column {column}).",
		"JSON 객체 하나만 보내야 합니다. {byte}번째 바이트({line}행 {column}열)부터 다른 내용이 있습니다."},
	codeTooDeep: {"Objects and lists are nested too deeply at byte {byte} (line {line}, column {column}).",
		"{byte}번째 바이트({line}행 {column}열)에서 중첩이 너무 깊습니다."},
	codeRawControl: {"A string must not hold a raw control character (byte {byte}, line {line}, column {column}).",
		"문자열에 제어 문자를 그대로 넣을 수 없습니다({byte}번째 바이트, {line}행 {column}열)."},
	codeDuplicate: {"This field is there more than once; send it once.", "같은 필드가 두 번 이상 있습니다. 한 번만 보내십시오."},
	codeUnknown:   {"There is no such field. Those allowed here: {arg}.", "알 수 없는 필드입니다. 여기서 쓸 수 있는 필드: {arg}."},
	codeMissing:   {"This field is required.", "필수 필드입니다."},
	codeNull: {"null is not a value here; send one, or leave the field out if it is optional.",
		"null은 사용할 수 없습니다. 값을 보내거나, 선택 필드라면 생략하십시오."},
	codeNotString: {"This must be a string, in quotes.", "따옴표로 묶은 문자열이어야 합니다."},
	codeNotObject: {"This must be a JSON object with these fields: {arg}.", "다음 필드를 가진 JSON 객체여야 합니다: {arg}."},
	codeNotBool:   {"This must be true or false, without quotes.", "따옴표 없이 true 또는 false여야 합니다."},
	codeNoBooker: {"Nobody booked for this resident; send \"resident\" or \"both\", or leave the field out.",
		"이 예약에는 대신 예약한 사람이 없습니다. \"resident\"나 \"both\"를 보내거나 필드를 생략하십시오."},
	codeEmpty: {"This must not be empty.", "비어 있으면 안 됩니다."},
	codeID:    {"This must be an id of the programme file: 1 to 100 visible ASCII characters.", "사업 파일에 있는 ID여야 합니다(공백 없는 ASCII 문자 1~100자)."},
	codeOneOf: {"Send exactly one of these: {arg}.", "다음 중 정확히 하나만 보내십시오: {arg}."},
	codeAnyOf: {"Send at least one of these: {arg}.", "다음 중 하나 이상을 보내십시오: {arg}."},
	codeQuery: {"The query is not name=value pairs joined by &, with other characters as %XX.",
		"쿼리는 이름=값을 &로 이은 것이어야 하며, 그 밖의 문자는 %XX로 써야 합니다."},
	codeTime: {"This must be a time with its offset, as 2021-07-26T10:30:00+09:00; in a query + is written as %2B.",
		"2021-07-26T10:30:00+09:00처럼 시간대 오프셋이 있는 시각이어야 합니다. 쿼리에서는 +를 %2B로 씁니다."},
	codeTimeOrder: {"This must not be before {arg}.", "{arg}보다 앞선 시각이면 안 됩니다."},
	codeCursor: {"This must be the next_cursor of the page before, as it was; leave it out for the first page.",
		"바로 앞 페이지의 next_cursor를 그대로 보내야 합니다. 첫 페이지에서는 생략하십시오."},
	codeLimit:       {"This must be a number from 1 to {arg}.", "1부터 {arg}까지의 숫자여야 합니다."},
	codeContentType: {"The body must be JSON, with Content-Type: application/json.", "본문은 Content-Type: application/json 인 JSON이어야 합니다."},
	codeIfMatch:     {"This must be one ETag of the reservation, in quotes, such as \"3\".", "예약의 ETag 하나를 따옴표로 묶어 보내야 합니다(예: \"3\")."},
	codeUnread:      {"The body ended before it was complete.", "본문이 끝까지 전송되지 않았습니다."},
	codeMoreErrors:  {"There are more errors than are listed here.", "여기에 나열하지 않은 오류가 더 있습니다."},
	codeWrong:       {"This is not a value that can be used here.", "여기에 쓸 수 없는 값입니다."},

	booking.SlugPhone: {"This must be a phone number that exists, with its country code unless it is Korean: 010-1234-5678 or +82 10 1234 5678.",
		"실제로 있는 전화번호여야 합니다. 한국 번호가 아니면 국가 번호를 붙이십시오(예: 010-1234-5678, +82 10 1234 5678)."},
	booking.SlugName:       {"This must not be empty.", "비어 있으면 안 됩니다."},
	booking.SlugNameLength: {"This must have 1 to 60 characters.", "1~60자여야 합니다."},
	booking.SlugNameCharacters: {"A name consists of letters, marks, spaces, digits and signs such as . ' - ( ); control characters, characters that change the direction of writing, and emoji cannot be used.",
		"이름에는 글자, 공백, 숫자와 . ' - ( ) 같은 부호만 쓸 수 있습니다. 제어 문자, 글자 방향을 바꾸는 문자, 이모지는 쓸 수 없습니다."},
	booking.SlugBirthDate:  {"This must be a day that exists, written as 1967-03-21.", "실제로 있는 날짜를 1967-03-21과 같이 써야 합니다."},
	booking.SlugBirthRange: {"This must lie between 1890-01-01 and today.", "1890-01-01부터 오늘까지의 날짜여야 합니다."},
	booking.SlugIdentity: {"This must have 1 to 200 characters, none of them a control or invisible character.",
		"1~200자여야 하며, 제어 문자나 보이지 않는 문자를 쓸 수 없습니다."},
	booking.SlugReference: {"This must have at most 100 characters, none of them a control or invisible character.",
		"100자 이하여야 하며, 제어 문자나 보이지 않는 문자를 쓸 수 없습니다."},
	booking.SlugReason: {"This must have 1 to 200 characters, none of them a control or invisible character.",
		"1~200자여야 하며, 제어 문자나 보이지 않는 문자를 쓸 수 없습니다."},
	booking.SlugRecipient: {"This must be \"resident\", \"booker\" or \"both\".", "\"resident\", \"booker\", \"both\" 중 하나여야 합니다."},
	booking.SlugLanguage:  {"This must be \"ko\" or \"en\".", "\"ko\" 또는 \"en\"이어야 합니다."},
	booking.SlugCode: {"A code has 10 letters and digits, such as K7Q29-3TX4M; the dash may be left out.",
		"예약번호는 K7Q29-3TX4M과 같은 영문자와 숫자 10자리입니다(하이픈은 생략할 수 있습니다)."},
	booking.SlugKey: {"This must have 1 to 255 visible ASCII characters.", "공백 없는 ASCII 문자 1~255자여야 합니다."},
}

// text is what would be right in place of e's field.
func (e fieldError) text(language string) string {
	s, ok := fieldTexts[e.code]
	if !ok {
		s = fieldTexts[codeWrong]
	}
	text := s.in(language)
	if !strings.Contains(text, "{") {
		return text
	}
	where, want, _ := strings.Cut(e.arg, "\x00")
	at := append(strings.SplitN(where, ",", 3), "", "")
	return strings.NewReplacer("{arg}", e.arg, "{byte}", at[0], "{line}", at[1], "{column}", at[2],
		"{want}", wantTexts[want].in(language)).Replace(text)
}
