package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// demonstration is a running demo, with a key and a free slot as it prints them.
type demonstration struct {
	t              *testing.T
	url, key, slot string
}

var (
	curlKey  = regexp.MustCompile(`ansim_[0-9a-f]+`)
	curlSlot = regexp.MustCompile(`"slot_id":"([^"]+)"`)
)

func newDemonstration(t *testing.T) *demonstration {
	t.Helper()
	p := start(t, "demo", nil, "demo", "--people", "3", "--addr", "127.0.0.1:0")
	line := p.line(p.out, "start page")
	d := &demonstration{t: t, url: strings.TrimSuffix(strings.TrimSpace(line[strings.Index(line, "http://"):]), "/")}
	d.key = curlKey.FindString(p.line(p.out, "Authorization"))
	d.slot = curlSlot.FindStringSubmatch(p.line(p.out, "slot_id"))[1]
	return d
}

// book books for somebody born on 5 May 1967 and returns the code.
func (d *demonstration) book(identity, language string) string {
	d.t.Helper()
	body := fmt.Sprintf(`{"slot_id":%q,"language":%q,"resident":{"identity":%q,"name":"홍길동","birth_date":"1967-05-05","phone":"010-1234-5678"}}`,
		d.slot, language, identity)
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.url+"/v1/reservations", strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", identity)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	var r struct{ Code string }
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil || resp.StatusCode != http.StatusCreated {
		d.t.Fatalf("book: %s, %v", resp.Status, err)
	}
	return r.Code
}

// residentWords is what a journey presses and reads.
type residentWords struct {
	lang, check, wrong, booked, again, wait, move, none, choose, ask, yes, moved, cancel, sure, cancelled, retry, lost, send, sent, find string
}

var residentLanguages = []residentWords{
	{"ko", "확인하기", "입력하신 내용을 확인해 주세요", "예약되어 있습니다", "문자 다시 받기", "다시 요청할 수 있습니다", "시간이나 장소 바꾸기", "시간을 하나 골라 주세요", "이 시간으로 계속",
		"이렇게 바꿀까요?", "예, 바꿉니다", "예약을 바꿨습니다", "예약 취소하기", "예, 취소합니다", "취소된 예약입니다", "처음으로", "예약번호를 문자로 받기", "문자로 받기", "요청을 받았습니다", "찾기"},
	{"en", "Check", "Please check what you entered", "You are booked", "Send the text again", "You can ask again from", "Choose another time or place", "Choose one of the times",
		"Continue with this time", "Change it to this?", "Yes, change it", "Your booking is changed", "Cancel the booking", "Yes, cancel it", "This booking is cancelled", "Back to the start",
		"Get your code by text", "Send the text", "We have your request", "Search"},
}

// A resident finds their booking, asks for the text too soon, moves, cancels, and says that they have lost the code; each page is
// held against axe's rules in both colour schemes.
func TestResidentInTheBrowser(t *testing.T) {
	t.Parallel()
	d := newDemonstration(t)
	for _, w := range residentLanguages {
		t.Run(w.lang, func(t *testing.T) {
			t.Parallel()
			b := newBrowser(t, "resident-"+w.lang).withAxe()
			b.goes(chromedp.Navigate(d.url + "/r?lang=" + w.lang))
			b.looked("start")
			b.goes(chromedp.SetValue(chromedp.CSS("#code"), "K7Q29"), chromedp.SetValue(chromedp.CSS("#birth"), "5/5"), chromedp.Click(chromedp.CSS("button.main")))
			b.says(w.wrong)
			b.looked("refused")
			b.find(d.book(w.lang+"-1", w.lang), "1967. 5. 5.")
			b.says(w.booked)
			b.looked("booked")
			for !strings.Contains(b.text(), w.wait) { // the first may be too soon or not, and the second too, as the machine is fast or slow
				b.press(w.again)
			}
			b.says(w.wait, w.booked)
			b.looked("cool-down")
			b.press(w.move)
			b.looked("times")
			b.press(w.choose)
			b.says(w.none)
			b.press(w.find)
			b.looked("places")
			b.goes(chromedp.Click(chromedp.CSS("button[name=site]")))
			b.goes(chromedp.Click(chromedp.CSS("input[name=slot]")), chromedp.Click(chromedp.CSS("button.main")))
			b.says(w.ask)
			b.looked("moving")
			b.press(w.yes)
			b.says(w.moved, w.booked)
			b.looked("moved")
			b.press(w.cancel)
			b.looked("cancel")
			b.press(w.sure)
			b.says(w.cancelled)
			b.looked("cancelled")
			b.goes(chromedp.Navigate(d.url + "/r/lost?lang=" + w.lang))
			b.looked("lost")
			b.goes(chromedp.SetValue(chromedp.CSS("#name"), "홍 길동"), chromedp.SetValue(chromedp.CSS("#birth"), "670505"), chromedp.SetValue(chromedp.CSS("#phone"), "01012345678"), chromedp.Click(chromedp.CSS("button.main")))
			b.says(w.sent)
			b.looked("sent")
		})
	}
}

// find enters a code and a birth date.
func (b *browser) find(code, birth string) {
	b.t.Helper()
	b.goes(chromedp.SetValue(chromedp.CSS("#code"), code), chromedp.SetValue(chromedp.CSS("#birth"), birth), chromedp.Click(chromedp.CSS("button.main")))
}

// By the keyboard alone, from the address to cancelled; and where something is wrong, what says so has the focus.
func TestResidentByKeyboard(t *testing.T) {
	t.Parallel()
	d := newDemonstration(t)
	b := newBrowser(t, "keyboard")
	code := d.book("keys", "ko")
	b.goes(chromedp.Navigate(d.url + "/r"))
	b.keysTo("#code", "K7")
	b.goes(chromedp.KeyEvent(kb.Enter))
	b.focused(".errors")
	evaluate[string](b, `document.querySelector("#code").value = ""`) // as select all and delete
	b.keysTo("#code", strings.ToLower(strings.ReplaceAll(code, "-", "")))
	b.keysTo("#birth", "19670505")
	b.goes(chromedp.KeyEvent(kb.Enter))
	b.says("예약되어 있습니다")
	b.keysTo("form[action='/r/cancel'] button", "")
	b.goes(chromedp.KeyEvent(kb.Enter))
	b.keysTo("button.danger", "")
	b.goes(chromedp.KeyEvent(kb.Enter))
	b.says("취소된 예약입니다")
}

// focused waits until an element that the page gives the focus has it: a browser does so after it has loaded the page.
func (b *browser) focused(selector string) {
	b.t.Helper()
	await(b.t, time.Minute, selector+" has the focus", func() error {
		if !evaluate[bool](b, fmt.Sprintf(`document.activeElement.matches(%q)`, selector)) {
			return errNotYet
		}
		return nil
	})
}

// keysTo tabs until an element has the focus, and types.
func (b *browser) keysTo(selector, text string) {
	b.t.Helper()
	for range 40 {
		b.do(chromedp.KeyEvent(kb.Tab))
		if evaluate[bool](b, fmt.Sprintf(`document.activeElement.matches(%q)`, selector)) {
			if text != "" {
				b.do(chromedp.KeyEvent(text))
			}
			return
		}
	}
	b.t.Fatalf("the keyboard does not come to %s", selector)
}

// Without scripts everything works.
func TestResidentWithoutScripts(t *testing.T) {
	t.Parallel()
	d := newDemonstration(t)
	b := newBrowser(t, "noscript")
	tell(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.goes(chromedp.Navigate(d.url + "/r"))
	b.find(d.book("noscript", "ko"), "670505-1")
	b.says("예약되어 있습니다")
	b.press("시간이나 장소 바꾸기")
	b.goes(chromedp.Click(chromedp.CSS("input[name=slot]")), chromedp.Click(chromedp.CSS("button.main")))
	b.press("예, 바꿉니다")
	b.says("예약을 바꿨습니다")
}
