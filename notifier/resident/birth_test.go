package resident

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestParseBirth(t *testing.T) {
	t.Parallel()
	now := time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"1967-05-05":      "[1967-05-05]",
		"1967.5.5":        "[1967-05-05]",
		"1967. 5. 5.":     "[1967-05-05]",
		"1967/05/05":      "[1967-05-05]",
		"1967년 5월 5일":     "[1967-05-05]",
		"1967년5월5일":       "[1967-05-05]",
		"19670505":        "[1967-05-05]",
		"１９６７０５０５":        "[1967-05-05]",
		" 1967 - 05 - 05": "[1967-05-05]",
		"670505":          "[1967-05-05]",
		"67.5.5":          "[1967-05-05]",
		"67년 5월 5일":       "[1967-05-05]",
		"150505":          "[1915-05-05 2015-05-05]",
		"670505-1":        "[1967-05-05]",
		"150505-3":        "[2015-05-05]",
		"150505-2":        "[1915-05-05]",
		"950505 - 9":      "[1895-05-05]",
		"000229":          "[2000-02-29]", // 1900 was no leap year
	} {
		got, err := parseBirth(in, now)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v; want %s", in, got, err, want)
		}
	}
	for in, want := range map[string]error{
		"": errBirth, "1967": errBirth, "05/05/1967": errBirth, "1967-13-01": errBirth, "1967-02-30": errBirth, "hello": errBirth,
		"2099-01-01": errBirth, "1700-01-01": errBirth, "6705051234567": errWholeNumber, "670505-1234567": errWholeNumber, "670505-12": errBirth,
		"670505-123": errWholeNumber,
	} {
		if got, err := parseBirth(in, now); !errors.Is(err, want) {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
}

func FuzzParseBirth(f *testing.F) {
	for _, s := range []string{"1967-05-05", "670505-1", "67년 5월 5일", "６７０５０５", "00000000"} {
		f.Add(s)
	}
	now := time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		found, err := parseBirth(s, now)
		if (err == nil) != (len(found) > 0) || len(found) > 2 {
			t.Fatalf("%v, %v", found, err)
		}
		for _, d := range found {
			if again, err := parseBirth(d, now); err != nil || again[0] != d {
				t.Errorf("%q gives %q, which gives %v", s, d, again)
			}
		}
	})
}
