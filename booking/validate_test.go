package booking_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ansim/booking"
)

// slugOf is the slug of a *ValidationProblem, "" for nil.
func slugOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var p *booking.ValidationProblem
	if !errors.As(err, &p) || p.Sentence == "" {
		t.Fatalf("not a problem with a sentence: %v", err)
	}
	return p.Slug
}

func TestNormalizePhone(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"010-1234-5678": "+821012345678", "01012345678": "+821012345678", "+82 10 1234 5678": "+821012345678",
		"+82-(0)10-1234-5678": "+821012345678", "０１０ １２３４ ５６７８": "+821012345678", "02-123-4567": "+8221234567",
		"+1 650 253 0000": "+16502530000", " 010.1234.5678 ": "+821012345678",
		"010-5990-0000": "+821059900000", // the library's tables do not know this range
	} {
		got, err := booking.NormalizePhone(in)
		if err != nil || got.Reveal() != want {
			t.Errorf("%q: %s, %v", in, got.Reveal(), err)
		}
	}
	for _, in := range []string{"", "1", "119", "010-1234", "010-1234-56789012", "+82 10 1234 5678 ext 9", "1-800-FLOWERS",
		"010\x001234 5678", "01012345678\u202e", strings.Repeat("1", 1000), "+", "전화", "\xff", "tel:01012345678"} {
		if got, err := booking.NormalizePhone(in); slugOf(t, err) != booking.SlugPhone {
			t.Errorf("%q became %s", in, got.Reveal())
		}
	}
}

func TestNormalizeName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"홍길동": "홍길동", " 홍길동 ": "홍길동", "\u1112\u1169\u11bc": "홍", "O'Neill-Kim, J.": "O'Neill-Kim, J.", "e\u0301": "é",
		"Kim  Minji": "Kim Minji", "王小明": "王小明", "نور": "نور", "김 2": "김 2", strings.Repeat("가", 60): strings.Repeat("가", 60),
	} {
		got, err := booking.NormalizeName(in)
		if err != nil || got.Reveal() != want {
			t.Errorf("%q: %q, %v", in, got.Reveal(), err)
		}
	}
	for in, want := range map[string]string{
		"": booking.SlugName, " \u3000": booking.SlugName, strings.Repeat("가", 61): booking.SlugNameLength,
		"홍\x00": booking.SlugNameCharacters, "홍\n길동": booking.SlugNameCharacters, "a\u202eb": booking.SlugNameCharacters,
		"홍😀": booking.SlugNameCharacters, "12": booking.SlugNameCharacters, "\u3164": booking.SlugNameCharacters,
		"a\u200bb": booking.SlugNameCharacters, "<b>": booking.SlugNameCharacters, "\xff": booking.SlugNameCharacters,
	} {
		if _, err := booking.NormalizeName(in); slugOf(t, err) != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func TestParseBirthDate(t *testing.T) {
	t.Parallel()
	now := time.Date(2021, 7, 19, 23, 0, 0, 0, time.UTC) // the 20th in Seoul
	for in, want := range map[string]string{
		"1967-03-21": "", "1890-01-01": "", "2021-07-20": "", "2020-02-29": "", "1889-12-31": booking.SlugBirthRange,
		"2021-07-21": booking.SlugBirthRange, "2021-02-29": booking.SlugBirthDate, "1967-3-21": booking.SlugBirthDate,
		"": booking.SlugBirthDate, "19670321": booking.SlugBirthDate, "1967-03-21T00:00:00Z": booking.SlugBirthDate,
	} {
		if got, err := booking.ParseBirthDate(in, now); slugOf(t, err) != want || want == "" && got != in {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestNormalizeLines(t *testing.T) {
	t.Parallel()
	type fn = func(string) (string, error)
	for _, c := range []struct {
		f        fn
		in, want string
		slug     string
	}{
		{booking.NormalizeIdentity, " ci:AbC== ", "ci:AbC==", ""}, {booking.NormalizeIdentity, "", "", booking.SlugIdentity},
		{booking.NormalizeIdentity, strings.Repeat("x", 201), "", booking.SlugIdentity}, {booking.NormalizeIdentity, "a\x00", "", booking.SlugIdentity},
		{booking.NormalizeReference, "", "", ""}, {booking.NormalizeReference, "사건 7", "사건 7", ""},
		{booking.NormalizeReference, strings.Repeat("x", 101), "", booking.SlugReference}, {booking.NormalizeReference, "a\u202e", "", booking.SlugReference},
		{booking.NormalizeLanguage, "", "ko", ""}, {booking.NormalizeLanguage, "en", "en", ""}, {booking.NormalizeLanguage, "fr", "", booking.SlugLanguage},
		{booking.NormalizeKey, "a-b", "a-b", ""}, {booking.NormalizeKey, "", "", booking.SlugKey}, {booking.NormalizeKey, "a b", "", booking.SlugKey},
		{booking.NormalizeKey, "é", "", booking.SlugKey}, {booking.NormalizeKey, strings.Repeat("k", 256), "", booking.SlugKey},
	} {
		if got, err := c.f(c.in); got != c.want || slugOf(t, err) != c.slug {
			t.Errorf("%q: %q, %v", c.in, got, err)
		}
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	if got := booking.FormatCode("K7Q293TX4M"); got != "K7Q29-3TX4M" {
		t.Error(got)
	}
	for _, in := range []string{"K7Q29-3TX4M", "k7q293tx4m", " K7Q29 3TX4M ", "K-7-Q-2-9-3-T-X-4-M", "Ｋ７Ｑ２９３ＴＸ４Ｍ"} {
		if got, err := booking.ParseCode(in); got != "K7Q293TX4M" || err != nil {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if got, _ := booking.ParseCode("oOiIlL0123"); got != "0011110123" {
		t.Error(got)
	}
	for _, in := range []string{"", "K7Q29-3TX4", "K7Q29-3TX4MM", "K7Q29-3TX4U", "K7Q29_3TX4M", "K7Q29-3TX4가", "\x00"} {
		if got, err := booking.ParseCode(in); slugOf(t, err) != booking.SlugCode {
			t.Errorf("%q became %q", in, got)
		}
	}
	seen := map[string]bool{}
	for range 1000 {
		c := booking.NewCode()
		if got, err := booking.ParseCode(booking.FormatCode(c)); got != c || err != nil || seen[c] {
			t.Fatalf("code %q: %q, %v", c, got, err)
		}
		seen[c] = true
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"010-1234-5678", "홍길동", "K7Q29-3TX4M", "\u202e", "1967-01-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := booking.NormalizePhone(s); err == nil {
			if again, err := booking.NormalizePhone(p.Reveal()); err != nil || again != p {
				t.Errorf("phone %q is not stable", p.Reveal())
			}
		}
		if n, err := booking.NormalizeName(s); err == nil {
			if again, err := booking.NormalizeName(n.Reveal()); err != nil || again != n || !utf8.ValidString(n.Reveal()) {
				t.Errorf("name %q is not stable", n.Reveal())
			}
		}
		if c, err := booking.ParseCode(s); err == nil && len(c) != 10 {
			t.Errorf("code %q", c)
		}
		if v, err := booking.NormalizeIdentity(s); err == nil && strings.ContainsRune(v, 0) {
			t.Errorf("identity %q", v)
		}
	})
}
