package sandbox_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"ansim/notifier/sandbox"
)

// page gives a page as a browser of that language sees it.
func (n *network) page(t *testing.T, path, lang string) (string, http.Header) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, n.http.URL+path, nil)
	req.Header.Set("Accept-Language", lang)
	resp, err := n.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
	}
	return string(body), resp.Header
}

func TestPageShowsThePhones(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	n.send(t, text("+821012345678", "Body", "예약완료 <script>alert(1)</script>"))
	n.send(t, text("+821000030003"))
	n.send(t, text("+14155550123"))
	if err := n.WaitFinal(soon(t), 3); err != nil {
		t.Fatal(err)
	}
	ko, header := n.page(t, "/", "ko-KR,ko;q=0.9")
	for _, want := range []string{`lang="ko"`, "010-1234-5678", "010-0003-0003", "&#43;14155550123", "&lt;script&gt;", "전화기가 꺼져 있거나", "도착", "[Web발신]"} {
		if !strings.Contains(ko, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, bad := range []string{"<script>alert", "style=", "onclick=", "https://", "<style"} {
		if strings.Contains(ko, bad) {
			t.Errorf("%q is in the page", bad)
		}
	}
	if csp := header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Error(csp)
	}
	if strings.Index(ko, "&#43;14155550123") > strings.Index(ko, "010-1234-5678") {
		t.Error("the newest phone is not the first")
	}
	en, _ := n.page(t, "/", "en-GB")
	if !strings.Contains(en, `lang="en"`) || !strings.Contains(en, "Delivered") || !strings.Contains(en, "Unreachable") {
		t.Error("the English page is not English")
	}
	if found, _ := n.page(t, "/?q=010-1234", "ko"); strings.Contains(found, `aria-label="&#43;1415`) || !strings.Contains(found, `aria-label="010-1234-5678"`) {
		t.Error("the search does not find by digits")
	}
	if none, _ := n.page(t, "/phones?q=999999", "ko"); !strings.Contains(none, "그 번호로 온 문자가 없어요") || strings.Contains(none, "<html") {
		t.Error("a search without a result says nothing")
	}
	for _, path := range []string{"/assets/sandbox.css", "/assets/sandbox.js", "/assets/icon.svg"} {
		n.page(t, path, "ko")
	}
}

func TestPageIsCappedInARush(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	for i := range 70 {
		n.send(t, text(fmt.Sprintf("+8210%08d", 20000000+i)))
	}
	for i := range 9 {
		n.send(t, text("+821012345678", "Body", fmt.Sprint("text ", i)))
	}
	page, _ := n.page(t, "/", "ko")
	if got := strings.Count(page, "<article"); got != 60 {
		t.Errorf("%d phones", got)
	}
	if !strings.Contains(page, "이전 문자 4통") || strings.Contains(page, "text 3") || !strings.Contains(page, "가장 최근 전화기만") {
		t.Error("what is left out is not said")
	}
}

func TestEventsTellOfChanges(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, n.http.URL+"/events", nil)
	resp, err := n.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatal(got)
	}
	lines := bufio.NewScanner(resp.Body)
	next := func() {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == "event: changed" {
				return
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
	}
	next() // a first picture at once
	n.send(t, text("+821012345678"))
	next()
}

func TestFaultButtons(t *testing.T) {
	t.Parallel()
	n := start(t, sandbox.Options{})
	press := func(form url.Values, site string) int {
		req := n.request(t, http.MethodPost, n.http.URL+"/faults", form)
		req.Header.Set("Sec-Fetch-Site", site)
		resp, err := n.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := press(url.Values{"fault": {"hang"}, "count": {"1"}}, "cross-site"); got != http.StatusForbidden || len(n.Faults()) != 0 {
		t.Errorf("from another site: %d", got)
	}
	press(url.Values{"fault": {"429"}, "count": {"1"}, "lang": {"ko"}}, "same-origin")
	if rules := n.Faults(); len(rules) != 1 || rules[0].Answer != sandbox.Answer429 || rules[0].Count != 1 {
		t.Fatalf("%+v", rules)
	}
	if status, _ := n.send(t, text("+821012345678")); status != 429 {
		t.Errorf("%d", status)
	}
	if page, _ := n.page(t, "/", "ko"); !strings.Contains(page, "1 / 1번") || !strings.Contains(page, "모두 끄기") {
		t.Error("the page does not show what is on")
	}
	if got := press(url.Values{"fault": {"nonsense"}, "count": {"1"}}, "same-origin"); got != http.StatusBadRequest {
		t.Errorf("%d", got)
	}
	press(url.Values{"fault": {"clear"}}, "same-origin")
	if len(n.Faults()) != 0 {
		t.Error("not cleared")
	}
}
