package api

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"

	"ansim/booking"
)

var testNow = time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC)

// with is goodBody with the JSON value at a path replaced, or taken out when value is "".
func with(t testing.TB, path, value string) string {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(goodBody), &body); err != nil {
		t.Fatal(err)
	}
	at, name := body, path
	if outer, inner, ok := strings.Cut(path, "."); ok {
		at, name = body[outer].(map[string]any), inner
	}
	if value == "" {
		delete(at, name)
	} else {
		at[name] = json.RawMessage(value)
	}
	out, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestReadBook(t *testing.T) {
	t.Parallel()
	got, _, err := readBook([]byte(goodBody), testNow)
	if err != nil {
		t.Fatal(err)
	}
	want := booking.BookRequest{SlotID: "gangnam-0726-1030", Identity: "ci-8f14e45f", Name: "홍길동", BirthDate: "1967-03-21",
		Phone: "+821012345678", Booker: &booking.Person{Name: "홍보람", Phone: "+821087654321"}, Language: "en", Reference: "A-1029"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for path, value := range map[string]string{
		"booked_by": "", "language": "", "reference": "", "resident.phone": `"010-1234-5678"`, "resident.name": `"ال يوسف"`,
	} {
		if _, _, err := readBook([]byte(with(t, path, value)), testNow); err != nil {
			t.Errorf("%s = %s: %+v", path, value, err)
		}
	}
}

// badBodies are wrong in one way each, with the field that must be named and the code of the error.
func badBodies(t testing.TB) map[string][3]string {
	bad := map[string][3]string{
		"empty":             {"", "body", codeMalformed},
		"not JSON":          {"slot=1", "body", codeMalformed},
		"a list":            {"[]", "body", codeNotObject},
		"a string":          {`"x"`, "body", codeNotObject},
		"null":              {"null", "body", codeNull},
		"trailing":          {goodBody + "{}", "body", codeTrailing},
		"cut off":           {goodBody[:60], "resident.identity", codeMalformed},
		"deep":              {strings.Repeat(`{"a":`, 5000), "", codeTooDeep},
		"raw NUL in a name": {strings.Replace(goodBody, "홍길동", "홍\x00동", 1), "resident.name", codeRawControl},
		"not UTF-8":         {strings.Replace(goodBody, "홍길동", "\xc3\x28", 1), "body", codeNotUTF8},
		"duplicate":         {strings.Replace(goodBody, `"language"`, `"slot_id": "x", "language"`, 1), "slot_id", codeDuplicate},
		"duplicate inside":  {strings.Replace(goodBody, `"name": "홍길동"`, `"name": "홍길동", "name": "김"`, 1), "resident.name", codeDuplicate},
	}
	for name, c := range map[string][3]string{
		"unknown":                  {"slotid", `"x"`, codeUnknown},
		"unknown inside":           {"resident.email", `"x"`, codeUnknown},
		"unknown, a number":        {"01012345678", `"x"`, "?"},
		"slot missing":             {"slot_id", "", codeMissing},
		"slot null":                {"slot_id", "null", codeNull},
		"slot a number":            {"slot_id", "7", codeNotString},
		"slot empty":               {"slot_id", `""`, codeID},
		"slot with NUL":            {"slot_id", `"a\u0000"`, codeID},
		"slot long":                {"slot_id", `"` + strings.Repeat("s", 101) + `"`, codeID},
		"resident missing":         {"resident", "", codeMissing},
		"resident null":            {"resident", "null", codeNull},
		"resident a string":        {"resident", `"홍길동"`, codeNotObject},
		"booker a list":            {"booked_by", `[]`, codeNotObject},
		"booker null":              {"booked_by", `null`, codeNull},
		"identity empty":           {"resident.identity", `""`, booking.SlugIdentity},
		"identity with NUL":        {"resident.identity", `"a\u0000b"`, booking.SlugIdentity},
		"identity long":            {"resident.identity", `"` + strings.Repeat("i", 201) + `"`, booking.SlugIdentity},
		"name missing":             {"resident.name", "", codeMissing},
		"name empty":               {"resident.name", `" "`, booking.SlugName},
		"name a boolean":           {"resident.name", `true`, codeNotString},
		"name with NUL":            {"resident.name", `"홍\u0000동"`, booking.SlugNameCharacters},
		"name turned round":        {"resident.name", `"홍\u202e동"`, booking.SlugNameCharacters},
		"name isolated":            {"resident.name", `"\u2067홍길동"`, booking.SlugNameCharacters},
		"name with emoji":          {"resident.name", `"홍길동😀"`, booking.SlugNameCharacters},
		"name of a family emoji":   {"resident.name", `"\ud83d\udc68\u200d\ud83d\udc69"`, booking.SlugNameCharacters},
		"name with a line":         {"resident.name", `"홍\n길동"`, booking.SlugNameCharacters},
		"name with a link":         {"resident.name", `"https://a.example"`, booking.SlugNameCharacters},
		"name of 10 kB":            {"resident.name", `"` + strings.Repeat("홍", 3500) + `"`, booking.SlugNameLength},
		"birth date missing":       {"resident.birth_date", "", codeMissing},
		"birth date impossible":    {"resident.birth_date", `"1967-02-30"`, booking.SlugBirthDate},
		"birth date short":         {"resident.birth_date", `"67-3-21"`, booking.SlugBirthDate},
		"birth date a time":        {"resident.birth_date", `"1967-03-21T00:00:00Z"`, booking.SlugBirthDate},
		"birth date in the future": {"resident.birth_date", `"2021-07-21"`, booking.SlugBirthRange},
		"birth date too early":     {"resident.birth_date", `"1789-07-14"`, booking.SlugBirthRange},
		"birth date a number":      {"resident.birth_date", `19670321`, codeNotString},
		"phone empty":              {"resident.phone", `""`, booking.SlugPhone},
		"phone words":              {"resident.phone", `"call me"`, booking.SlugPhone},
		"phone vanity":             {"resident.phone", `"+1-800-FLOWERS"`, booking.SlugPhone},
		"phone short":              {"resident.phone", `"+8210123"`, booking.SlugPhone},
		"phone long":               {"resident.phone", `"+8210123456789012"`, booking.SlugPhone},
		"phone of no country":      {"resident.phone", `"+999123456789"`, booking.SlugPhone},
		"phone without country":    {"resident.phone", `"2025550123"`, booking.SlugPhone},
		"phone with extension":     {"resident.phone", `"+821012345678;ext=5"`, booking.SlugPhone},
		"phone with NUL":           {"resident.phone", `"+8210123\u000045678"`, booking.SlugPhone},
		"phone in other digits":    {"resident.phone", `"+821०१२३४५६७८"`, booking.SlugPhone},
		"booker's phone":           {"booked_by.phone", `"1"`, booking.SlugPhone},
		"booker's name missing":    {"booked_by.name", ``, codeMissing},
		"language":                 {"language", `"fr"`, booking.SlugLanguage},
		"language empty":           {"language", `""`, codeEmpty},
		"reference long":           {"reference", `"` + strings.Repeat("r", 101) + `"`, booking.SlugReference},
		"reference turned round":   {"reference", `"a\u202eb"`, booking.SlugReference},
	} {
		field, code := c[0], c[2]
		if code == "?" {
			field, code = "?", codeUnknown
		}
		bad[name] = [3]string{with(t, c[0], c[1]), field, code}
	}
	return bad
}

func TestReadBookRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range badBodies(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := readBook([]byte(c[0]), testNow)
			var bad *invalid
			if !errors.As(err, &bad) || len(bad.fields) != 1 {
				t.Fatalf("got %+v", err)
			}
			if f := bad.fields[0]; c[1] != "" && f.field != c[1] || f.code != c[2] {
				t.Errorf("got %s %s, want %s %s", f.field, f.code, c[1], c[2])
			}
		})
	}
}

func TestReadBookNamesEveryField(t *testing.T) {
	t.Parallel()
	body := `{"slot_id": 3, "resident": {"identity": "", "name": "😀", "birth_date": "1999-13-01", "x": 1}, "booked_by": {}, "language": "fr", "y": 2, "y": 3}`
	_, _, err := readBook([]byte(body), testNow)
	var bad *invalid
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range bad.fields {
		got[f.field+" "+f.code] = f.code
	}
	want := map[string]string{}
	for _, s := range []string{"y duplicate", "y unknown", "slot_id not-a-string", "language language", "resident.identity identity",
		"resident.name name-characters", "resident.birth_date birth-date", "resident.phone missing", "resident.x unknown",
		"booked_by.name missing", "booked_by.phone missing"} {
		want[s] = strings.Fields(s)[1]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestManyErrorsAreCut(t *testing.T) {
	t.Parallel()
	body := `{`
	for i := range 5000 {
		body += `"x` + strings.Repeat("a", i%30) + `":1,`
	}
	_, _, err := readBook([]byte(body+`"z":1}`), testNow)
	var bad *invalid
	if !errors.As(err, &bad) || len(bad.fields) != maxFieldErrors+1 || bad.fields[maxFieldErrors].code != codeMoreErrors {
		t.Errorf("%d errors", len(bad.fields))
	}
}

func TestReadSearch(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"code": "k7q29-3tx4m"}`: "", `{"code": "K7Q293TX4M"}`: "", `{"reference": "A-1029"}`: "",
		`{}`: "body one-of", `{"code": "K7Q293TX4M", "reference": "A"}`: "body one-of", `{"code": "K7Q29"}`: "code code",
		`{"code": 5}`: "code not-a-string", `{"reference": ""}`: "reference empty", `{"phone": "1", "code": "K7Q293TX4M"}`: "phone unknown",
	} {
		code, reference, err := readSearch([]byte(body), testNow)
		got := ""
		var bad *invalid
		if errors.As(err, &bad) {
			got = bad.fields[0].field + " " + bad.fields[0].code
		} else if code != "K7Q293TX4M" && reference != "A-1029" {
			got = code + reference
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

// The description and the decoder must name the same fields, and agree on which are required.
func TestDescriptionIsWhatIsRead(t *testing.T) {
	t.Parallel()
	schemas := huma.NewMapRegistry("#/components/schemas/", schemaName)
	schema := func(v any) *huma.Schema {
		return schemas.SchemaFromRef(schemas.Schema(reflect.TypeOf(v), true, "").Ref)
	}
	_, _, err := readBook([]byte(`{"resident": {}, "booked_by": {}, "?": 1}`), testNow)
	checkRequired(t, err, "", schema(bookBody{}).Required, "resident")
	checkRequired(t, err, "resident.", schema(residentBody{}).Required)
	checkRequired(t, err, "booked_by.", schema(bookerBody{}).Required)
	checkNames(t, err, schema(bookBody{}))

	_, _, err = readResend([]byte(`{"?": 1}`), testNow)
	checkRequired(t, err, "", schema(resendBody{}).Required)
	checkNames(t, err, schema(resendBody{}))
}

func checkNames(t *testing.T, err error, schema *huma.Schema) {
	t.Helper()
	var bad *invalid
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	for _, f := range bad.fields {
		if f.code == codeUnknown {
			if got, names := strings.Split(f.arg, ", "), slices.Collect(maps.Keys(schema.Properties)); !sameSet(got, names) {
				t.Errorf("the decoder takes %v, the description has %v", got, names)
			}
		}
	}
}

func checkRequired(t *testing.T, err error, prefix string, required []string, present ...string) {
	t.Helper()
	var bad *invalid
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	got := present
	for _, f := range bad.fields {
		if rest, ok := strings.CutPrefix(f.field, prefix); ok && f.code == codeMissing && !strings.Contains(rest, ".") {
			got = append(got, rest)
		}
	}
	if !sameSet(got, required) {
		t.Errorf("%q: the decoder requires %v, the description %v", prefix, got, required)
	}
}

func sameSet(a, b []string) bool {
	set := func(list []string) map[string]bool {
		m := map[string]bool{}
		for _, s := range list {
			m[s] = true
		}
		return m
	}
	return reflect.DeepEqual(set(a), set(b))
}

// Every code has its text in both languages, without a gap left open.
func TestFieldTexts(t *testing.T) {
	t.Parallel()
	for code := range fieldTexts {
		e := fieldError{"x", code, "a, b"}
		switch code {
		case codeMalformed, codeNotUTF8, codeTrailing, codeTooDeep, codeRawControl:
			e.arg = position([]byte("12\n4"), 3) + "\x00" + wantColon
		}
		for _, lang := range []string{"en", "ko"} {
			if s := e.text(lang); len(s) < 10 || strings.ContainsAny(s, "{}\x00") {
				t.Errorf("%s in %s: %q", code, lang, s)
			}
		}
	}
	e := fieldError{"body", codeMalformed, position([]byte("12\n4"), 3) + "\x00" + wantColon}
	if got, want := e.text("en"), "This is not JSON: at byte 4 (line 2, column 1) a colon was expected."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
