package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"ansim/test/dbtest"
)

// browserLimit is for one journey; machines are slow and shared, and a page takes some milliseconds.
const browserLimit = 4 * time.Minute

// step is one thing that is done in the browser.
type step = chromedp.Action[chromedp.Void]

// browser is a tab of a real Chromium, with the accessibility rules of axe-core at hand.
type browser struct {
	t    *testing.T
	ctx  context.Context
	name string // of the screenshots
	axe  string
}

// newBrowser starts one. The folder of screenshots is ANSIM_TEST_SCREENSHOTS, none unless it is set.
func newBrowser(t *testing.T, name string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		dbtest.Missing(t, "there is no chromium on the PATH")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("accept-lang", "ko-KR,ko"), chromedp.WindowSize(360, 800))
	ctx, cancel := context.WithTimeout(t.Context(), browserLimit)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, name: name}
	b.do(chromedp.Navigate("about:blank"))
	return b
}

// withAxe reads axe-core, whose file ANSIM_TEST_AXE names.
func (b *browser) withAxe() *browser {
	b.t.Helper()
	path := os.Getenv("ANSIM_TEST_AXE")
	if path == "" {
		dbtest.Missing(b.t, "ANSIM_TEST_AXE does not name axe-core's axe.min.js")
	}
	source, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.axe = string(source)
	return b
}

func (b *browser) do(actions ...step) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("in the browser: %v\n%s", err, b.text())
	}
}

// goes does what leads to another page, and returns when that one is there.
func (b *browser) goes(actions ...step) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, actions...); err != nil {
		b.t.Fatalf("in the browser: %v\n%s", err, b.text())
	}
}

// press presses the button that says so.
func (b *browser) press(says string) {
	b.t.Helper()
	b.goes(chromedp.Click(chromedp.Search(fmt.Sprintf("//button[normalize-space()=%q]", says))))
}

// text is what the page says.
func (b *browser) text() string {
	s, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	return s
}

// evaluate runs a script in the page; a promise is waited for.
func evaluate[T any](b *browser, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("in the browser: %v", err)
	}
	return v
}

// tell sends the browser a command of its protocol.
func tell[P, R any](b *browser, command cdp.Command[P, R], params P) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	}))
}

func (b *browser) says(parts ...string) {
	b.t.Helper()
	text := b.text()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			b.t.Errorf("the page does not say %q:\n%s", p, text)
		}
	}
}

// looked holds the page, in both colour schemes, against the accessibility rules, checks that it fits a phone of 320 pixels, also
// with letters of twice the size, and takes its picture.
func (b *browser) looked(page string) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		tell(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		for _, width := range []int64{320, 360, 1280} {
			b.do(chromedp.EmulateViewport(width, 800))
			if width == 320 {
				b.fits(page, "100%")
				b.fits(page, "200%")
			} else {
				b.picture(fmt.Sprintf("%s-%s-%d", page, scheme, width))
			}
		}
		b.check(page + " in " + scheme)
	}
	b.do(chromedp.EmulateViewport(360, 800))
}

func (b *browser) fits(page, letters string) {
	b.t.Helper()
	over := evaluate[float64](b, fmt.Sprintf(`(() => { const h = document.documentElement; h.style.fontSize = %q;
		const over = h.scrollWidth - h.clientWidth; h.style.fontSize = ""; return over; })()`, letters))
	if over > 0 {
		b.t.Errorf("%s: with letters at %s it is %g pixels wider than a phone of 320", page, letters, over)
	}
}

func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("ANSIM_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, b.name+"-"+name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) check(page string) {
	b.t.Helper()
	if b.axe == "" {
		return
	}
	var result struct {
		Violations []struct {
			ID    string
			Help  string
			Nodes []struct {
				HTML           string
				FailureSummary string
			}
		}
	}
	evaluate[int](b, b.axe+"; 0")
	raw := evaluate[string](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r))`)
	if err := json.Unmarshal([]byte(raw), &result); err != nil {
		b.t.Fatalf("axe said %v: %s", err, raw)
	}
	for _, v := range result.Violations {
		for _, n := range v.Nodes {
			b.t.Errorf("%s: %s (%s)\n%s\n%s", page, v.Help, v.ID, n.HTML, n.FailureSummary)
		}
	}
}
