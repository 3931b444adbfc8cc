package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// One person is one person, however the parts of their syllables are put together.
func TestHangulIsOnePerson(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := strings.ReplaceAll(personBody("홍길동-신분", "gangnam-0726-1030", "1967-03-21"), "A-홍길동-신분", "사건 가나다")
	first := r.do("POST", "/v1/reservations", norm.NFC.String(body), headerKey, "k0")
	if first.status != 201 {
		t.Fatalf("%d %s", first.status, first.raw)
	}
	for name, form := range map[string]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD} {
		again := r.do("POST", "/v1/reservations", form.String(body), headerKey, "k-"+name)
		if again.status != 200 || again.at("id") != first.at("id") || again.at("reference") != "사건 가나다" {
			t.Errorf("%s: %d %s", name, again.status, again.raw)
		}
		found := r.do("POST", "/v1/reservations/search", form.String(`{"reference": "사건 가나다"}`))
		if list, _ := found.at("reservations").([]any); len(list) != 1 {
			t.Errorf("%s: searched %s", name, found.raw)
		}
	}
	r.problem(r.do("POST", "/v1/reservations", norm.NFD.String(strings.Replace(body, "1030", "1100", 1)), headerKey, "k1"), 409, "already-booked")
}

// What looks like a part of a program is text: it comes back as it was, or is refused with a reason, and does nothing.
func TestHarmlessText(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const reference = `'); DROP TABLE reservation; -- <script>alert("1")</script> & {{.}} %s \`
	with := func(field, value string) string {
		var body map[string]any
		if err := json.Unmarshal([]byte(personBody("p", "gangnam-0726-1030", "1967-03-21")), &body); err != nil {
			t.Fatal(err)
		}
		if resident := body["resident"].(map[string]any); resident[field] != nil {
			resident[field] = value
		} else {
			body[field] = value
		}
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	booked := r.do("POST", "/v1/reservations", with("reference", reference), headerKey, "k1")
	if booked.status != 201 || booked.at("reference") != reference {
		t.Fatalf("%d %s", booked.status, booked.raw)
	}
	for field, values := range map[string][]string{
		"name":       {`Robert'); DROP TABLE slot;--`, "<b>홍길동</b>", strings.Repeat("홍", 3400), "홍\u0000길동", "\u202e홍길동", "😀"},
		"identity":   {strings.Repeat("x", 10_000), "a\u0007", "a\u2028b", ""},
		"reference":  {strings.Repeat("x", 10_000), "a\u0000"},
		"birth_date": {"1967-02-29", "2167-03-21", "1967-13-01", "21/03/1967", "1967-03-21T00:00:00+09:00"},
		"phone":      {"119", "010-9876", "+82 10 1234 56789", "전화 없음", strings.Repeat("1", 10_000)},
		"slot_id":    {"gangnam 0726", strings.Repeat("x", 101), "강남"},
	} {
		for _, v := range values {
			bad := r.do("POST", "/v1/reservations", with(field, v), headerKey, "k2")
			r.problem(bad, 422, "validation")
			errs, _ := bad.at("errors").([]any)
			if len(errs) != 1 || !strings.HasSuffix(errs[0].(map[string]any)["field"].(string), field) || errs[0].(map[string]any)["detail"] == "" {
				t.Errorf("%s: %s", field, bad.raw)
			}
			if len(v) > 3 && strings.Contains(bad.raw, v) {
				t.Errorf("%s: the answer repeats what was sent", field)
			}
		}
	}
	for i, phone := range []string{"010.1234.5678", "+82-(0)10-1234-5678", "０１０１２３４５６７８"} {
		again := r.do("POST", "/v1/reservations", strings.ReplaceAll(with("phone", phone), `"A-p"`, `"other"`), headerKey, fmt.Sprint("p", i))
		if again.status != 200 || again.at("id") != booked.at("id") {
			t.Errorf("%s is not the same number: %d %s", phone, again.status, again.raw)
		}
	}
}
