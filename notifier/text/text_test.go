package text

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/korean"
	"pgregory.net/rapid"

	"ansim/schema/personal"
)

var seoul = time.FixedZone("KST", 9*3600)

func example() In {
	return In{
		Kind: "confirmation", Language: "ko", TagKo: "백신예약", TagEn: "Vaccine", Name: "홍길동",
		SiteKo: "강남구보건소", SiteEn: "Gangnam Health Center",
		StartsAt: time.Date(2021, 7, 26, 10, 30, 0, 0, seoul), Code: "K7Q293TX4M",
	}
}

func with(change func(*In)) In {
	in := example()
	change(&in)
	return in
}

func TestRender(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   In
		want string
	}{
		"the example of the design": {example(), "[백신예약] 홍길동님 예약완료\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"changed":                   {with(func(in *In) { in.Kind = "change" }), "[백신예약] 홍길동님 예약변경\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"cancelled":                 {with(func(in *In) { in.Kind = "cancellation" }), "[백신예약] 홍길동님 예약취소\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"for the booker":            {with(func(in *In) { in.ForBooker = true }), "[백신예약] 홍길동님 예약완료(대리)\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"code with its dash":        {with(func(in *In) { in.Code = "K7Q29-3TX4M" }), "[백신예약] 홍길동님 예약완료\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"a link that fits not":      {with(func(in *In) { in.Link = "https://book.example.org/r" }), "[백신예약] 홍길동님 예약완료\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"a link that fits":          {with(func(in *In) { in.TagKo, in.SiteKo, in.Link = "예약", "구청", "http://a.kr/r" }), "[예약] 홍길동님 예약완료\n7/26(월)10:30 구청\n번호 K7Q29-3TX4M\nhttp://a.kr/r"},
		"a long site is shortened": {with(func(in *In) { in.SiteKo = "서울특별시 강남구 보건소 코로나19 예방접종센터 제2관" }),
			"[백신예약] 홍길동님 예약완료\n7/26(월)10:30 서울특별시 강남구 보건소…\n번호 K7Q29-3TX4M"},
		"a long name goes after the site": {with(func(in *In) { in.Name = "가나다라마바사아자차카타파하가나다라마바" }),
			"[백신예약] 예약완료\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"a syllable outside KS X 1001":      {with(func(in *In) { in.Name = "홍뷁동" }), "[백신예약] 예약완료\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"a decomposed name":                 {with(func(in *In) { in.Name = "홍길동" }), "[백신예약] 홍길동님 예약완료\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"a name that is a link and a line":  {with(func(in *In) { in.Name = "http://evil.kr/1\n번호" }), "[백신예약] 예약완료\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"a short name that is a link":       {with(func(in *In) { in.Name = "a.kr/1\n번호" }), "[백신예약] akr 번호님 예약완료\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"a name of controls and directions": {with(func(in *In) { in.Name = "\u202e홍\x00길\u200b동\r\n" }), "[백신예약] 홍길동님 예약완료\n7/26(월)10:30 강남구보건소\n번호 K7Q29-3TX4M"},
		"English": {with(func(in *In) { in.Language, in.Name = "en", "Jane O'Neil" }),
			"[Vaccine] Booked: Jane O'Neil\nMon 26 Jul 10:30 Gangnam Health Center\nCode K7Q29-3TX4M"},
		"for the former number": {with(func(in *In) { in.ForFormer, in.Link = true, "https://b.kr/r" }), "[백신예약] 연락처가 바뀌어 이 번호로는 더 보내지 않습니다\n번호 K7Q29-3TX4M"},
		"English for the former number": {with(func(in *In) { in.Language, in.ForFormer = "en", true }),
			"[Vaccine] The number for this booking was changed; no more texts come here\nCode K7Q29-3TX4M"},
		"English for the booker": {with(func(in *In) { in.Language, in.Name, in.ForBooker = "en", "Jane O'Neil", true }),
			"[Vaccine] Booked for Jane O'Neil\nMon 26 Jul 10:30 Gangnam Health Center\nCode K7Q29-3TX4M"},
		"a Korean name in English": {with(func(in *In) { in.Language = "en" }),
			"[Vaccine] Booked\nMon 26 Jul 10:30 Gangnam Health Center\nCode K7Q29-3TX4M"},
		"a Korean name in English for the booker": {with(func(in *In) { in.Language, in.ForBooker = "en", true }),
			"[Vaccine] Booked for another\nMon 26 Jul 10:30 Gangnam Health Center\nCode K7Q29-3TX4M"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Render(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Body); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSizeOfTheExample(t *testing.T) {
	t.Parallel()
	got, err := Render(example())
	if err != nil {
		t.Fatal(err)
	}
	if got.Units != 51 || euckrBytes(got.Body) != 72 || got.Segments != 1 || got.Encoding != UCS2 {
		t.Errorf("%d units, %d bytes, %d segments, %s; want 51, 72, 1, UCS-2", got.Units, euckrBytes(got.Body), got.Segments, got.Encoding)
	}
}

func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	for want, in := range map[error]In{
		ErrKind:     with(func(in *In) { in.Kind = "reminder" }),
		ErrLanguage: with(func(in *In) { in.Language = "fr" }),
		ErrCode:     with(func(in *In) { in.Code = "K7Q29-3TX4\n" }),
	} {
		if _, err := Render(in); err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

// TestLimits: whatever the input, the text is one segment within its limits, has the code, and its lines are ours.
func TestLimits(t *testing.T) {
	t.Parallel()
	hangul := rapid.StringOf(rapid.RuneFrom(nil, unicode.Hangul))
	anything := rapid.OneOf(rapid.String(), hangul, rapid.StringN(200, 400, -1), rapid.SampledFrom([]string{"", "홍길동", "\n\n번호 AAAAA-AAAAA", "[]", "{}€[]"}))
	rapid.Check(t, func(t *rapid.T) {
		in := In{
			Kind:     rapid.SampledFrom([]string{"confirmation", "change", "cancellation"}).Draw(t, "kind"),
			Language: rapid.SampledFrom([]string{"ko", "en"}).Draw(t, "language"),
			TagKo:    anything.Draw(t, "tagKo"), TagEn: anything.Draw(t, "tagEn"),
			Name:   personal.Name(anything.Draw(t, "name")),
			SiteKo: anything.Draw(t, "siteKo"), SiteEn: anything.Draw(t, "siteEn"),
			StartsAt:  time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0).In(seoul),
			Code:      rapid.StringMatching(`[0-9A-HJKMNP-TV-Z]{10}`).Draw(t, "code"),
			Link:      rapid.OneOf(rapid.Just("https://b.kr/r"), rapid.String()).Draw(t, "link"),
			ForBooker: rapid.Bool().Draw(t, "booker"), ForFormer: rapid.Bool().Draw(t, "former"),
		}
		got, err := Render(in)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Render(in)
		if again != got {
			t.Fatal("not a function of its input")
		}
		if want := in.Code[:5] + "-" + in.Code[5:]; !strings.Contains(got.Body, want) {
			t.Fatalf("no code in %q", got.Body)
		}
		least, most := 2, 3
		if in.ForFormer {
			least, most = 1, 1
		}
		if n := strings.Count(got.Body, "\n"); n < least || n > most {
			t.Fatalf("%d line breaks in %q", n, got.Body)
		}
		for _, r := range got.Body {
			if r != '\n' && r < ' ' || in.Language == "ko" && euckrWidth(r) == 0 || in.Language == "en" && septetsOf(r) == 0 {
				t.Fatalf("%U in the text", r)
			}
		}
		if in.Language == "ko" && (got.Units > 60 || euckrBytes(got.Body) > 90) || in.Language == "en" && got.Units > 160 {
			t.Fatalf("%d units in %q", got.Units, got.Body)
		}
	})
}

// Code Page 949 has all 11,172 syllables, KS X 1001 has 2,350 of them.
func TestKSX1001(t *testing.T) {
	t.Parallel()
	in, all := 0, 0
	for r := rune(0xAC00); r <= 0xD7A3; r++ {
		all++
		if euckrWidth(r) == 2 {
			in++
		}
		if _, err := korean.EUCKR.NewEncoder().String(string(r)); err != nil {
			t.Fatalf("the encoder has no %U", r)
		}
	}
	if in != 2350 {
		t.Errorf("%d of %d syllables are in KS X 1001, want 2350", in, all)
	}
}

func BenchmarkRender(b *testing.B) {
	in := with(func(*In) {})
	for _, language := range []string{"ko", "en"} {
		b.Run(language, func(b *testing.B) {
			in.Language = language
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Render(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
