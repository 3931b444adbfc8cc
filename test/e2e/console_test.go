package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
			for !strings.Contains(b.text(), w.cool) { // the first may be too soon or not, and the second too, as the machine is fast or slow
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

// runWords is what a supervisor presses and reads.
type runWords struct{ lang, demo, look, yet, begin, wrong, done, runs, none, slot string }

var runLanguages = []runWords{
	{"ko", "체험용 계정으로 로그인", "살펴보기", "아직 아무것도 하지 않았습니다", "시작하기", "입력하신 내용을 확인해 주세요", "끝남", "일괄 작업", "그런 시간대가 없거나", "시간대 문자 다시 보내기"},
	{"en", "Sign in as the demonstration's agent", "Look at it", "Nothing has been done yet", "Start", "Please check what you entered", "Done", "Runs", "There is no such slot", "Send a slot's texts again"},
}

// A supervisor lets a cause go on, and sends a slot's texts again: each is looked at first, and the page says by itself when it is
// done.
func TestSupervisorInTheBrowser(t *testing.T) {
	t.Parallel()
	d := newDemonstration(t)
	for _, w := range runLanguages {
		t.Run(w.lang, func(t *testing.T) {
			b := newBrowser(t, "supervisor-"+w.lang).withAxe()
			d.book("supervisor-"+w.lang, w.lang)
			b.goes(chromedp.Navigate(d.url + "/console?lang=" + w.lang))
			b.press(w.demo)
			for !strings.Contains(b.text(), "opted-out") { // who has opted out fails as soon as the notifier has the text
				b.goes(chromedp.Navigate(d.url + "/console/attention"))
			}
			b.looked("attention")
			b.goes(chromedp.Click(chromedp.Search(fmt.Sprintf("//button[@aria-label=%q]", w.look+": opted-out"))))
			b.says(w.yet)
			b.press(w.begin)
			b.says(w.wrong)
			b.looked("plan-refused")
			b.goes(chromedp.SetValue(chromedp.CSS("#reason"), "they allow texts again"), chromedp.Click(chromedp.Search(fmt.Sprintf("//button[normalize-space()=%q]", w.begin))))
			b.do(chromedp.WaitVisible(chromedp.Search(fmt.Sprintf("//h2[normalize-space()=%q]", w.done)))) // no reload: the page says so
			b.says("they allow texts again", "1 / 1")
			b.looked("run")
			b.goes(chromedp.Navigate(d.url + "/console/runs"))
			b.goes(chromedp.SetValue(chromedp.CSS("#target"), "nowhere"), chromedp.Click(chromedp.CSS("main button.main")))
			b.says(w.none)
			b.looked("runs-refused")
			b.goes(chromedp.SetValue(chromedp.CSS("#target"), d.slot), chromedp.Click(chromedp.CSS("main button.main")))
			b.says(w.slot+": "+d.slot, w.yet)
			b.looked("plan")
			b.goes(chromedp.SetValue(chromedp.CSS("#reason"), "another entrance"), chromedp.Click(chromedp.Search(fmt.Sprintf("//button[normalize-space()=%q]", w.begin))))
			b.do(chromedp.WaitVisible(chromedp.Search(fmt.Sprintf("//h2[normalize-space()=%q]", w.done))))
			b.looked("slot-run")
			b.goes(chromedp.Navigate(d.url + "/console/runs"))
			b.says(w.runs, "another entrance", "they allow texts again")
			b.looked("runs")
		})
	}
}

// The figures come up to date by themselves, and nothing moves when they do.
func TestFiguresComeUpToDate(t *testing.T) {
	t.Parallel()
	d := newDemonstration(t)
	b := newBrowser(t, "figures")
	b.goes(chromedp.Navigate(d.url + "/console"))
	b.press("체험용 계정으로 로그인")
	const figure = `document.querySelector(".figures.moving dd").firstChild.textContent.trim()`
	before := evaluate[string](b, figure)
	height := evaluate[float64](b, "document.documentElement.scrollHeight")
	d.book("figures", "ko")
	b.do(chromedp.Poll[chromedp.Void](fmt.Sprintf("%s !== %q", figure, before), chromedp.WithPollingTimeout(browserLimit)))
	if after := evaluate[float64](b, "document.documentElement.scrollHeight"); after != height {
		t.Errorf("the page has a height of %g, and had %g", after, height)
	}
}

// Two agents have one case before them, and both press: one resend is made, and the other agent is told of it.
func TestTwoAgentsAtOnce(t *testing.T) {
	t.Parallel()
	d := newDemonstration(t)
	code := d.book("two", "ko")
	agents := []*browser{newBrowser(t, "first"), newBrowser(t, "second")}
	for _, b := range agents {
		b.goes(chromedp.Navigate(d.url + "/console"))
		b.press("체험용 계정으로 로그인")
		b.goes(chromedp.SetValue(chromedp.CSS("#q"), code), chromedp.Click(chromedp.CSS("main button.main")))
		b.says(code)
	}
	const done, told = "문자를 다시 보냅니다.", "조금 전에 문자를 보냈습니다."
	for { // until the minute after the booking is over, in which nobody may
		var both sync.WaitGroup
		errs := make([]error, len(agents))
		for i, b := range agents {
			both.Go(func() {
				_, errs[i] = chromedp.RunResponse(b.ctx, chromedp.SetValue(chromedp.CSS("#reason"), "called"),
					chromedp.Click(chromedp.Search(`//button[normalize-space()="문자 다시 보내기"]`)))
			})
		}
		both.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(agents[0].text()+agents[1].text(), done) {
			break
		}
	}
	if strings.Contains(agents[0].text(), done) {
		slices.Reverse(agents)
	}
	agents[1].says(done, "called")
	if !strings.Contains(agents[0].text(), "staff:demo") { // told so by the minute after the booking, an instant before it was over
		agents[0].goes(chromedp.SetValue(chromedp.CSS("#reason"), "called"), chromedp.Click(chromedp.Search(`//button[normalize-space()="문자 다시 보내기"]`)))
	}
	agents[0].says(told, "called")
	if strings.Contains(agents[0].text(), done) {
		t.Error("both sent the text")
	}
	for _, b := range agents {
		if n := strings.Count(b.text(), "staff:demo"); n != 1 {
			t.Errorf("%d resends are told of, not 1:\n%s", n, b.text())
		}
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
