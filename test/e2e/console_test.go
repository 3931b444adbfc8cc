package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// consoleWords is what a journey presses and reads.
type consoleWords struct {
	lang, demo, find, wrong, story, resend, cool, noted, attention, trail, out, sure, cancel string
}

var consoleLanguages = []consoleWords{
	{"ko", "체험용 계정으로 로그인", "찾기", "입력하신 내용을 확인해 주세요", "지금까지", "문자 다시 보내기", "다시 보낼 수 있습니다", "메모를 남겼습니다", "확인이 필요한 것", "기록", "로그아웃", "안내했는지 확인해 주세요", "예약 취소"},
	{"en", "Sign in as the demonstration's agent", "Search", "Please check what you entered", "What happened", "Send the text again", "You can send again from", "The note is added", "Needs attention", "Trail", "Sign out",
		"Please confirm that they know", "Cancel the reservation"},
}

// An agent signs in, finds a caller by the number, sees the story, sends the text again, notes, and cancels; each page is held
// against axe's rules in both colour schemes.
func TestConsoleInTheBrowser(t *testing.T) {
	t.Parallel()
	d := newDemonstration(t)
	for _, w := range consoleLanguages {
		t.Run(w.lang, func(t *testing.T) {
			b := newBrowser(t, "console-"+w.lang).withAxe()
			code := d.book("console-"+w.lang, w.lang)
			b.goes(chromedp.Navigate(d.url + "/console?lang=" + w.lang))
			b.looked("sign-in")
			b.goes(chromedp.SetValue(chromedp.CSS("#name"), "demo"), chromedp.SetValue(chromedp.CSS("#password"), "wrong"), chromedp.Click(chromedp.CSS("button.main")))
			b.says(w.wrong)
			b.looked("refused")
			b.press(w.demo)
			b.looked("home")
			b.press(w.find)
			b.says(w.wrong)
			b.goes(chromedp.SetValue(chromedp.CSS("#q"), "+82 10-1234-5678"), chromedp.Click(chromedp.CSS("main button.main")))
			if w.lang == "en" { // the other language's caller has the number, too
				b.says(code, "홍길동")
				b.looked("found")
				b.goes(chromedp.Click(chromedp.CSS(".rows a")))
			}
			b.says(code, "홍길동", "+821012345678", w.story)
			b.looked("case")
			b.press(w.resend)
			b.says(w.wrong)
			b.looked("no-reason")
			for range 2 { // the first may be too soon or not, as the machine is fast or slow
				b.goes(chromedp.SetValue(chromedp.CSS("#reason"), "called: got no text"), chromedp.Click(chromedp.Search(fmt.Sprintf("//button[normalize-space()=%q]", w.resend))))
			}
			b.says(w.cool)
			if kept := evaluate[string](b, `document.querySelector("#reason").value`); kept != "called: got no text" {
				t.Errorf("what was entered is lost: %q", kept)
			}
			evaluate[bool](b, `document.querySelectorAll("details").forEach(d => d.open = true) || true`)
			b.looked("actions")
			b.goes(chromedp.SetValue(chromedp.CSS("#note"), "will call back"), chromedp.Click(chromedp.CSS("form[action$=note] button")))
			b.says(w.noted, "will call back")
			evaluate[bool](b, `document.querySelectorAll("details").forEach(d => d.open = true) || true`)
			b.press(w.cancel)
			b.says(w.sure)
			b.goes(chromedp.Click(chromedp.CSS("#sure")), chromedp.Click(chromedp.Search(fmt.Sprintf("//button[normalize-space()=%q]", w.cancel))))
			b.looked("cancelled")
			b.goes(chromedp.Navigate(d.url + "/console/attention"))
			b.says(w.attention)
			b.looked("attention")
			b.goes(chromedp.Navigate(d.url + "/console/trail"))
			b.says(w.trail, "staff:demo", "resent", "viewed", "searched", "cancelled")
			b.looked("trail")
			b.goes(chromedp.Navigate(d.url + "/console/nowhere"))
			b.looked("not-found")
		})
	}
}

// By the keyboard alone and without scripts: sign in, find, look.
func TestConsoleByKeyboardWithoutScripts(t *testing.T) {
	t.Parallel()
	d := newDemonstration(t)
	b := newBrowser(t, "console-keys")
	code := d.book("keys", "ko")
	tell(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.goes(chromedp.Navigate(d.url + "/console"))
	b.keysTo("form[action$=demo] button", "")
	b.goes(chromedp.KeyEvent(kb.Enter))
	b.focused("#q")
	b.do(chromedp.KeyEvent(strings.ToLower(code)))
	b.goes(chromedp.KeyEvent(kb.Enter))
	b.says(code, "홍길동", "지금까지")
}

// A session that ends while a form is filled in loses nothing: after signing in again, the form goes on.
func TestConsoleSessionEndsInMidForm(t *testing.T) {
	t.Parallel()
	d := newDemonstration(t)
	b := newBrowser(t, "console-ended")
	code := d.book("ended", "ko")
	b.goes(chromedp.Navigate(d.url + "/console"))
	b.press("체험용 계정으로 로그인")
	b.goes(chromedp.SetValue(chromedp.CSS("#q"), code), chromedp.Click(chromedp.CSS("main button.main")))
	tell(b, storage.ClearCookies, storage.ClearCookiesParams{})
	evaluate[bool](b, `document.querySelectorAll("details").forEach(d => d.open = true) || true`)
	b.goes(chromedp.SetValue(chromedp.CSS("#note"), "a long story"), chromedp.Click(chromedp.CSS("form[action$=note] button")))
	b.says("입력하신 내용은 그대로 있으니")
	b.press("체험용 계정으로 로그인")
	b.says("아직 처리되지 않았습니다")
	b.press("계속하기")
	b.says("메모를 남겼습니다", "a long story")
}
