package text

import (
	"strconv"
	"strings"
	"sync"
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
		units: codeUnits,
		within: func(s string) bool {
			return codeUnits(s) <= maxKoreanUnits && euckrBytes(s) <= maxKoreanBytes
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

// euckrWidth is how many bytes r has in EUC-KR, 0 when KS X 1001 does not have it.
func euckrWidth(r rune) int {
	switch {
	case r < 0x80:
		return 1
	case r <= 0xFFFF && ksx1001()[r]:
		return 2
	default:
		return 0
	}
}

// ksx1001 says of each character of the Basic Multilingual Plane, where all of KS X 1001 is, whether it is one of them. The
// encoder is one of Code Page 949, which adds 8,822 syllables in the rows that KS X 1001 leaves free, where a byte is below
// 0xA1. It is asked once: a text asks for some hundred characters, and asking it each time was most of what a text cost.
var ksx1001 = sync.OnceValue(func() *[1 << 16]bool {
	var in [1 << 16]bool
	encoder := korean.EUCKR.NewEncoder()
	for r := rune(0x80); r <= 0xFFFF; r++ {
		b, err := encoder.Bytes([]byte(string(r)))
		in[r] = err == nil && len(b) == 2 && b[0] >= 0xA1 && b[1] >= 0xA1
	}
	return &in
})

// codeUnits is how many code units s has in UTF-16.
func codeUnits(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
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
