package twilio

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"ansim/notifier"
)

// everyText are the codes that hold for every text alike, whoever it is for. Before a code comes to this list, ask whether one
// recipient's number can bring it about: that number would stop all texts.
var everyText = []int{
	10001, 20003, 20005, 20006, 20008, 20010, 20403, 20404, 21212, 21601, 21603, 21606, 21609, 21616, 21659, 21660, 21661,
	21701, 21702, 21704, 21705, 30002, 30037, 30404, 30454, 90010,
}

// ourOneSender are those among them that, at the end of a text that had been taken, are about one sender of several.
var ourOneSender = []int{21212, 21601, 21606, 21616, 21659, 21660, 21661}

func TestCodeTable(t *testing.T) {
	t.Parallel()
	known := []notifier.Disposition{notifier.Permanent, notifier.OptedOut, notifier.Configuration, notifier.Later}
	var stop, stopAtEnd, optedOut, numbers []int
	for _, c := range table {
		numbers = append(numbers, c.Number)
		got, ok := Explain(c.Number)
		if !ok || got != c {
			t.Errorf("%d is explained as %+v", c.Number, got)
		}
		if c.Number < 10_000 || c.Number > 99_999 || c.Source() != fmt.Sprintf("https://www.twilio.com/docs/api/errors/%d", c.Number) {
			t.Errorf("%d: %s", c.Number, c.Source())
		}
		if !slices.Contains(known, c.Disposition) || !slices.Contains(known, c.Ending) {
			t.Errorf("%d: %q, %q", c.Number, c.Disposition, c.Ending)
		}
		if !slices.Contains([]Evidence{ReadPage, ReadCopy, Listed}, c.Checked) {
			t.Errorf("%d was checked by %q", c.Number, c.Checked)
		}
		if !strings.ContainsFunc(c.Ko, func(r rune) bool { return unicode.Is(unicode.Hangul, r) }) ||
			!(strings.HasSuffix(c.Ko, "니다.") || strings.HasSuffix(c.Ko, "요.")) {
			t.Errorf("%d is not a polite Korean sentence: %s", c.Number, c.Ko)
		}
		if !strings.HasSuffix(c.En, ".") || strings.Count(c.En, ". ") < 1 || strings.ContainsFunc(c.En, func(r rune) bool { return r > 127 }) {
			t.Errorf("%d says in English what is the matter, but not what to do: %s", c.Number, c.En)
		}
		if c.Disposition == notifier.Configuration {
			stop = append(stop, c.Number)
		}
		if c.Ending == notifier.Configuration {
			stopAtEnd = append(stopAtEnd, c.Number)
		}
		if c.Disposition == notifier.OptedOut || c.Ending == notifier.OptedOut {
			optedOut = append(optedOut, c.Number)
		}
	}
	slices.Sort(numbers)
	if len(slices.Compact(slices.Clone(numbers))) != len(numbers) {
		t.Error("a code is there twice")
	}
	slices.Sort(stop)
	if diff := cmp.Diff(everyText, stop); diff != "" {
		t.Errorf("refusals that stop every text: %s", diff)
	}
	slices.Sort(stopAtEnd)
	want := slices.DeleteFunc(slices.Clone(everyText), func(n int) bool { return slices.Contains(ourOneSender, n) })
	if diff := cmp.Diff(want, stopAtEnd); diff != "" {
		t.Errorf("ends that stop every text: %s", diff)
	}
	if diff := cmp.Diff([]int{21610, 30630}, optedOut); diff != "" {
		t.Errorf("opted out: %s", diff)
	}
	if _, ok := Explain(1); ok {
		t.Error("1 is explained")
	}
}

// TestUnlistedCodes: a code that nobody knows gets a default that neither stops the others nor loses the text unseen.
func TestUnlistedCodes(t *testing.T) {
	t.Parallel()
	const nobodys = 29_999
	for status, want := range map[int]notifier.Disposition{
		http.StatusBadRequest: notifier.Permanent, http.StatusForbidden: notifier.Permanent, http.StatusUnprocessableEntity: notifier.Permanent,
		http.StatusUnauthorized: notifier.Configuration, http.StatusNotFound: notifier.Configuration,
		http.StatusConflict: notifier.Later, http.StatusLocked: notifier.Later,
	} {
		if got := disposition(status, nobodys); got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
	if got := ending(nobodys); got != notifier.Later {
		t.Errorf("an end that nobody knows is %s", got)
	}
	if got := ending(0); got != "" {
		t.Errorf("no code is %q", got)
	}
	if disposition(http.StatusBadRequest, 21606) != notifier.Configuration || ending(21606) != notifier.Later || ending(30005) != notifier.Permanent {
		t.Error("the table is not asked")
	}
}
