package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// What the requests of FuzzHandler hold of a person.
const (
	fuzzedName  = "남궁비밀"
	fuzzedPhone = "010-9988-7766"
)

// FuzzHandler sends whatever to every call: nothing panics or ends as an internal error, every refusal is a problem of a known
// kind, and neither a refusal nor the log repeats a person's data.
func FuzzHandler(f *testing.F) {
	var log bytes.Buffer // one input is tried after the other
	s := &server{service: nothing{}, keys: nothing{}, log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	h := s.handler()
	var methods, paths []string
	for _, op := range operations(s.document) {
		methods, paths = append(methods, op.Method), append(paths, op.Path)
	}
	person := strings.NewReplacer("홍길동", fuzzedName, "+821012345678", fuzzedPhone)
	for i := range methods {
		for _, body := range []string{goodBody, `{"code":"K7Q29-3TX4M","birth_date":"1967-03-21"}`, `{"slot_id":"a"}`, `{"name":"홍길동"}`, `{"reason":"x"}`, ``} {
			f.Add(uint8(i), "0190d3c4-0000-7000-8000-000000000001", "programme=a&limit=3", "k-1", `"1"`, []byte(person.Replace(body)))
		}
	}
	f.Add(uint8(0), "../x", "programme=%zz", "\x00", "W/\"1\"", []byte(`{"name":"`+fuzzedName+`","name":1}`))
	f.Fuzz(func(t *testing.T, call uint8, id, query, key, match string, body []byte) {
		n := int(call) % len(methods)
		log.Reset()
		r := httptest.NewRequestWithContext(t.Context(), methods[n], "/", bytes.NewReader(body))
		r.URL = &url.URL{Path: strings.ReplaceAll(paths[n], "{id}", id), RawQuery: query}
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(headerKey, key)
		r.Header.Set("If-Match", match)
		r.Header.Set("If-None-Match", match)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		judge(t, w)
		personal := strings.Contains(string(body), fuzzedPhone)
		if answer := w.Body.String(); personal && strings.Contains(answer+log.String(), fuzzedPhone) || w.Code >= 400 && strings.Contains(answer, fuzzedName) || strings.Contains(log.String(), fuzzedName) {
			t.Fatalf("personal data in the answer or the log: %d", w.Code)
		}
	})
}

// judge checks that an answer is one that the contract knows.
func judge(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code >= 300 && w.Code < 400 && w.Code != http.StatusNotModified {
		if w.Code != http.StatusMovedPermanently && w.Code != http.StatusTemporaryRedirect && w.Code != http.StatusPermanentRedirect { // the mux cleans paths
			t.Fatalf("status %d", w.Code)
		}
		return
	}
	if w.Code < 400 {
		return
	}
	var p problemBody
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d is no problem: %v", w.Code, err)
	}
	known := slices.ContainsFunc(outcomes, func(o outcome) bool { return "/problems/"+o.slug == p.Type && o.status == w.Code })
	if !known || p.Status != w.Code || w.Code >= http.StatusInternalServerError || p.Title == "" || p.Detail == "" {
		t.Fatalf("%d %+v", w.Code, p)
	}
}
