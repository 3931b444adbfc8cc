package text

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/text/encoding/korean"
)

// language is how texts look in one language.
type language struct {
	words    map[string]string // by kind
	former   string            // instead of them, to the number that was replaced
	encoding Encoding
	cut      string // what stands for the end of a name that was cut
	when     func(time.Time) string
	write    func(parts) string
	units    func(string) int
	within   func(string) bool
	allowed  func(rune) bool
}

var languages = map[string]language{
	"ko": {
		words:    map[string]string{"confirmation": "예약완료", "change": "예약변경", "cancellation": "예약취소"},
		former:   "연락처가 바뀌어 이 번호로는 더 보내지 않습니다",
		encoding: UCS2, cut: "…",
		when: func(t time.Time) string {
			day := []string{"일", "월", "화", "수", "목", "금", "토"}[t.Weekday()]
			return strconv.Itoa(int(t.Month())) + "/" + strconv.Itoa(t.Day()) + "(" + day + ")" + t.Format("15:04")
		},
		write: writeKorean,
		units: func(s string) int { return len(utf16.Encode([]rune(s))) },
		within: func(s string) bool {
			return len(utf16.Encode([]rune(s))) <= maxKoreanUnits && euckrBytes(s) <= maxKoreanBytes
		},
		allowed: func(r rune) bool { return euckrWidth(r) > 0 },
	},
	"en": {
		words:    map[string]string{"confirmation": "Booked", "change": "Changed", "cancellation": "Cancelled"},
		former:   "The number for this booking was changed; no more texts come here",
		encoding: GSM7, cut: "..",
		when:    func(t time.Time) string { return t.Format("Mon 2 Jan 15:04") },
		write:   writeEnglish,
		units:   septets,
		within:  func(s string) bool { return septets(s) <= maxEnglishUnits },
		allowed: func(r rune) bool { return septetsOf(r) > 0 },
	},
}

const (
	maxKoreanUnits  = 60
	maxKoreanBytes  = 90
	maxEnglishUnits = 160
)

func writeKorean(p parts) string {
	var b strings.Builder
	if p.tag != "" {
		b.WriteString("[" + p.tag + "] ")
	}
	if p.name != "" {
		b.WriteString(p.name + "님 ")
	}
	b.WriteString(p.word)
	if p.forBooker {
		b.WriteString("(대리)")
	}
	return finish(&b, p, "번호 ")
}

func writeEnglish(p parts) string {
	var b strings.Builder
	if p.tag != "" {
		b.WriteString("[" + p.tag + "] ")
	}
	b.WriteString(p.word)
	switch {
	case p.forBooker && p.name != "":
		b.WriteString(" for " + p.name)
	case p.forBooker:
		b.WriteString(" for another")
	case p.name != "":
		b.WriteString(": " + p.name)
	}
	return finish(&b, p, "Code ")
}

// finish writes the lines that both languages share: when and where, the code, the link.
func finish(b *strings.Builder, p parts, code string) string {
	if p.when != "" {
		b.WriteString("\n" + p.when)
	}
	if p.site != "" {
		b.WriteString(" " + p.site)
	}
	b.WriteString("\n" + code + p.code)
	if p.link != "" {
		b.WriteString("\n" + p.link)
	}
	return b.String()
}

// euckrWidth is how many bytes r has in EUC-KR, 0 when KS X 1001 does not have it. The encoder is one of Code Page 949,
// which adds 8,822 syllables in the rows that KS X 1001 leaves free, where a byte is below 0xA1.
func euckrWidth(r rune) int {
	if r < 0x80 {
		return 1
	}
	b, err := korean.EUCKR.NewEncoder().Bytes([]byte(string(r)))
	if err != nil || len(b) != 2 || b[0] < 0xA1 || b[1] < 0xA1 {
		return 0
	}
	return 2
}

func euckrBytes(s string) int {
	n := 0
	for _, r := range s {
		n += euckrWidth(r)
	}
	return n
}

// gsmBasic and gsmExtended are the alphabets of 3GPP TS 23.038, one and two septets each.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtended = "\f^{}\\[~]|€"
)

func septetsOf(r rune) int {
	switch {
	case strings.ContainsRune(gsmBasic, r):
		return 1
	case strings.ContainsRune(gsmExtended, r):
		return 2
	default:
		return 0
	}
}

func septets(s string) int {
	n := 0
	for _, r := range s {
		n += septetsOf(r)
	}
	return n
}
