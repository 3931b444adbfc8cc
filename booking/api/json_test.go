package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseJSONSyntax(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body, code, path string
		at               int
	}{
		"nothing":          {"", codeMalformed, "", 0},
		"spaces":           {"  ", codeMalformed, "", 2},
		"open":             {`{"a": "b"`, codeMalformed, "", 9},
		"unclosed string":  {`{"a": "b`, codeMalformed, "a", 8},
		"no colon":         {`{"a" "b"}`, codeMalformed, "", 5},
		"trailing comma":   {`{"a": "b",}`, codeMalformed, "", 10},
		"comma in list":    {`[1,]`, codeMalformed, "", 3},
		"single quotes":    {`{'a': 1}`, codeMalformed, "", 1},
		"bare word":        {`{"a": nul}`, codeMalformed, "a", 6},
		"leading zero":     {`{"a": 01}`, codeMalformed, "", 7},
		"plus":             {`{"a": +1}`, codeMalformed, "a", 6},
		"dot":              {`{"a": 1.}`, codeMalformed, "a", 8},
		"escape":           {`{"a": "\x"}`, codeMalformed, "a", 8},
		"short hex":        {`{"a": "\u00g0"}`, codeMalformed, "a", 11},
		"half a pair":      {`{"a": "\ud83d!"}`, codeMalformed, "a", 13},
		"wrong pair":       {`{"a": "\ud83d\u0041"}`, codeMalformed, "a", 19},
		"raw NUL":          {"{\"a\": {\"b\": \"\x00\"}}", codeRawControl, "a.b", 13},
		"raw newline":      {"{\"a\": \"\n\"}", codeRawControl, "a", 7},
		"not UTF-8":        {"{\"a\": \"\xff\"}", codeNotUTF8, "", 7},
		"UTF-16 surrogate": {"{\"a\": \"\xed\xa0\x80\"}", codeNotUTF8, "", 7},
		"byte order mark":  {"\ufeff{}", codeMalformed, "", 0},
		"two values":       {`{} {}`, codeTrailing, "", 3},
		"brace too many":   {`{}}`, codeTrailing, "", 2},
		"depth":            {strings.Repeat("[", 100000), codeTooDeep, "", maxDepth + 1},
		"odd name":         {`{"010-1234": tru}`, codeMalformed, "?", 13},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := parseJSON([]byte(c.body))
			if err == nil || err.code != c.code || err.at != c.at || err.path != c.path {
				t.Errorf("got %+v, want %s at %d in %q", err, c.code, c.at, c.path)
			}
		})
	}
}

func TestParseJSONDuplicates(t *testing.T) {
	t.Parallel()
	large := `{"z":1`
	for i := range 40 {
		large += `,"n` + strings.Repeat("x", i) + `":1`
	}
	for body, want := range map[string][]string{
		`{"a":1,"b":{"a":1}}`:                      nil,
		`{"a":1,"a":1}`:                            {"a"},
		`{"a":1,"\u0061":1}`:                       {"a"},
		`{"r":{"x":1,"x":2,"x":3},"r":0}`:          {"r.x", "r.x", "r"},
		large + `}`:                                nil,
		large + `,"nxxx":1,"z":2,"new":1,"new":2}`: {"nxxx", "z", "new"},
	} {
		_, got, err := parseJSON([]byte(body))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.40s: got %v, %v, want %v", body, got, err, want)
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	form := func(body string) string {
		n, _, err := parseJSON([]byte(body))
		if err != nil {
			t.Fatalf("%s: %+v", body, err)
		}
		return string(n.canonical(nil))
	}
	if a, b := form(`{"a":"é","b":{"c":"x","d":"/"}}`), form(" {\"b\" : {\"d\":\"\\/\",\"c\":\"x\"},\n\t\"a\":\"\\u00e9\"}"); a != b {
		t.Error("order, space and escapes change the canonical form")
	}
	different := []string{`{}`, `{"a":"b"}`, `{"a":"bc"}`, `{"ab":"c"}`, `{"a":"b","c":"d"}`, `{"a":{"c":"d"}}`, `{"a":"1"}`, `{"a":1}`,
		`{"a":null}`, `{"a":[]}`, `{"a":["b"]}`, `{"a":true}`, `{"a":false}`, `{"a":"true"}`}
	seen := map[string]string{}
	for _, body := range different {
		f := form(body)
		if other, ok := seen[f]; ok {
			t.Errorf("%s and %s have one canonical form", body, other)
		}
		seen[f] = body
	}
}

// FuzzParseJSON holds the parser against encoding/json, which admits more only where this one says so.
func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{goodBody, `[1,-0.5e+9,true,false,null,"\ud83d\ude00\u0000"]`, `{"a":{"a":[]}}`, `"\ud800"`, "\"\xff\"", `1e`, `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, _, err := parseJSON(body)
		if err != nil {
			if err.at < 0 || err.at > len(body) {
				t.Fatalf("position %d of %d", err.at, len(body))
			}
			stricter := err.code == codeNotUTF8 || err.code == codeTooDeep || err.want == wantPair
			if json.Valid(body) && !stricter {
				t.Fatalf("refused as %s (%s) what is JSON", err.code, err.want)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatal("took what is not JSON")
		}
		var want any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got := plainValue(n); !reflect.DeepEqual(got, want) {
			t.Fatalf("read %#v, encoding/json %#v", got, want)
		}
	})
}

func plainValue(n node) any {
	switch n.kind {
	case kindString:
		return n.text
	case kindNumber:
		return json.Number(n.text)
	case kindBool:
		return n.text == "true"
	case kindArray:
		list := make([]any, 0, len(n.items))
		for _, v := range n.items {
			list = append(list, plainValue(v))
		}
		return list
	case kindObject:
		m := map[string]any{}
		for _, v := range n.members {
			m[v.name] = plainValue(v.value)
		}
		return m
	}
	return nil
}

// FuzzBookBody: whatever the body, it is taken in the form that is kept, or refused naming fields, and no answer repeats
// a part of it.
func FuzzBookBody(f *testing.F) {
	for _, s := range []string{goodBody, `{}`, `{"resident":null}`, `{"slot_id":1,"resident":{"name":"\u0000"}}`, `{"x":1,"x":2}`,
		`{"slot_id":"a","resident":{"identity":"i","name":"a\u202eb","birth_date":"1999-02-30","phone":"010"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, _, err := readBook(body, testNow)
		if err == nil {
			for _, s := range []string{req.SlotID, req.Identity, req.Name.Reveal(), req.BirthDate, req.Phone.Reveal(), req.Reference} {
				if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
					t.Fatalf("kept %q", s)
				}
			}
			if req.Phone.Reveal()[0] != '+' || len(req.BirthDate) != 10 || req.SlotID == "" || req.Identity == "" || req.Name == "" {
				t.Fatalf("took an incomplete request: %#v", req)
			}
			return
		}
		for _, lang := range []string{"en", "ko"} {
			o, p := problemOf(err, lang)
			if o.slug != "validation" || len(p.Errors) == 0 || len(p.Errors) > maxFieldErrors+1 {
				t.Fatalf("%s with %d errors", o.slug, len(p.Errors))
			}
			for _, e := range p.Errors {
				if e.Field == "" || e.Detail == "" || strings.ContainsAny(e.Detail, "{}\x00") && !strings.Contains(e.Detail, "{arg}") {
					t.Fatalf("error without its text: %+v", e)
				}
			}
		}
	})
}
