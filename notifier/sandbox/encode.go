package sandbox

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// A network that stands in for Twilio in a rush shares its machine with what is measured. So the few shapes that it
// writes for every text are put together here by hand, at a fraction of what reflection costs; tests hold them against
// encoding/json.

// appendString adds s as a JSON string. As with encoding/json, bytes that are no UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	begin := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[begin:i]...), `\ufffd`...)
				begin = i + n
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[begin:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		begin = i
	}
	return append(append(dst, s[begin:]...), '"')
}

// field adds a member whose value is a string; name has its quotes, colon and the comma before it.
func field(dst []byte, name, value string) []byte { return appendString(append(dst, name...), value) }

// optional is field for a member that is left out when it is empty.
func optional(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return field(dst, name, value)
}

func span(dst []byte, name string, d Duration) []byte {
	if d == 0 {
		return dst
	}
	return field(dst, name, time.Duration(d).String())
}

func instant(dst []byte, name string, t time.Time) []byte {
	dst = append(append(dst, name...), '"')
	return append(t.AppendFormat(dst, time.RFC3339Nano), '"')
}

// appendEntry adds a line of the log: e as encoding/json writes it, and the end of the line.
func appendEntry(dst []byte, e *Entry) []byte {
	dst = strconv.AppendInt(append(dst, `{"seq":`...), e.Seq, 10)
	dst = field(dst, `,"sid":`, e.SID)
	dst = field(dst, `,"to":`, e.To)
	dst = field(dst, `,"from":`, e.From)
	dst = field(dst, `,"body":`, e.Body)
	dst = optional(dst, `,"token":`, e.Token)
	dst = optional(dst, `,"callback":`, e.Callback)
	dst = instant(dst, `,"at":`, e.At)
	dst = field(dst, `,"account":`, e.Account)
	dst = optional(dst, `,"service":`, e.Service)
	if e.Validity != 0 {
		dst = strconv.AppendInt(append(dst, `,"validity":`...), int64(e.Validity), 10)
	}
	dst = optional(dst, `,"final":`, e.Final)
	dst = span(dst, `,"final_after":`, e.FinalAfter)
	dst = optional(dst, `,"callbacks":`, e.Callbacks)
	dst = span(dst, `,"late_by":`, e.LateBy)
	dst = span(dst, `,"list_lag":`, e.ListLag)
	dst = span(dst, `,"fetch_lag":`, e.FetchLag)
	return append(dst, '}', '\n')
}

// appendState adds a line of the file that says how texts ended.
func appendState(dst []byte, l *stateLine) []byte {
	dst = field(dst, `{"sid":`, l.SID)
	dst = field(dst, `,"status":`, string(l.Status))
	if l.Code != 0 {
		dst = strconv.AppendInt(append(dst, `,"code":`...), int64(l.Code), 10)
	}
	if !l.Sent.IsZero() {
		dst = instant(dst, `,"sent":`, l.Sent)
	}
	dst = instant(dst, `,"at":`, l.At)
	return append(dst, '}', '\n')
}

// appendResource adds a text as Twilio's API shows it: numbers as strings, times as RFC 2822 in GMT, absent things as null.
func appendResource(dst []byte, m *Message) []byte {
	dst = field(dst, `{"body":`, m.Body)
	segments := 0 // no sender is chosen yet, and so no encoding
	if m.Status != Accepted {
		segments = Segments(m.Body)
	}
	dst = strconv.AppendInt(append(dst, `,"num_segments":"`...), int64(segments), 10)
	dst = append(dst, `","direction":"outbound-api","from":`...)
	if m.Status == Accepted {
		dst = append(dst, `null`...)
	} else {
		dst = appendString(dst, m.From)
	}
	dst = date(dst, `,"date_updated":`, m.UpdatedAt)
	dst = append(dst, `,"price":null,"error_message":`...)
	if m.ErrorCode == 0 {
		dst = append(dst, `null`...)
	} else {
		dst = appendString(dst, reasonOf(m.ErrorCode, false))
	}
	dst = append(uri(append(dst, `,"uri":"`...), m), `.json"`...)
	dst = field(dst, `,"account_sid":`, m.Account)
	dst = append(dst, `,"num_media":"0"`...)
	dst = field(dst, `,"to":`, m.To)
	dst = date(dst, `,"date_created":`, m.At)
	dst = field(dst, `,"status":`, string(m.Status))
	dst = field(dst, `,"sid":`, m.SID)
	dst = date(dst, `,"date_sent":`, m.SentAt)
	dst = append(dst, `,"messaging_service_sid":`...)
	if m.Service == "" {
		dst = append(dst, `null`...)
	} else {
		dst = appendString(dst, m.Service)
	}
	dst = append(dst, `,"error_code":`...)
	if m.ErrorCode == 0 {
		dst = append(dst, `null`...)
	} else {
		dst = strconv.AppendInt(dst, int64(m.ErrorCode), 10)
	}
	dst = append(dst, `,"price_unit":"USD","api_version":"`+apiVersion+`","subresource_uris":{"media":"`...)
	return append(uri(dst, m), `/Media.json"}}`...)
}

// uri adds the path of a text without its ending. An account's SID has nothing that JSON escapes; see Options.
func uri(dst []byte, m *Message) []byte {
	dst = append(append(dst, "/"+apiVersion+"/Accounts/"...), m.Account...)
	return append(append(dst, "/Messages/"...), m.SID...)
}

const rfc2822 = "Mon, 02 Jan 2006 15:04:05 -0700"

// date adds a member whose value is an instant, null when it has not come.
func date(dst []byte, name string, t time.Time) []byte {
	dst = append(dst, name...)
	if t.IsZero() {
		return append(dst, `null`...)
	}
	return append(t.UTC().AppendFormat(append(dst, '"'), rfc2822), '"')
}
