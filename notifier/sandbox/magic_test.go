package sandbox_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"ansim/notifier/sandbox"
)

// TestMagicNumbers walks the table of the package comment over HTTP: each number does what is said there, and the page
// shows as many.
func TestMagicNumbers(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^//\t(to|from) +(\+\d+) +(.+)$`).FindAllStringSubmatch(string(doc), -1)
	if len(rows) != 18 {
		t.Fatalf("the package comment has %d magic numbers", len(rows))
	}
	n := start(t, sandbox.Options{})
	page, _ := n.page(t, "/", "en")
	if got := strings.Count(page[strings.Index(page, `id="magic-title"`):], "<dt>"); got != len(rows) {
		t.Errorf("the page has %d magic numbers", got)
	}
	for _, row := range rows {
		t.Run(row[1]+row[2], func(t *testing.T) {
			n := start(t, sandbox.Options{})
			form := text("+821012345678", "From", row[2])
			if row[1] == "to" {
				form = text(row[2], "From", "+12025550123")
			}
			status, m := n.send(t, form)
			got := fmt.Sprintf("refused %d %v", status, m["code"])
			if status == 201 {
				got = "taken, then " + n.end(t)
			}
			if said := row[3]; got != said && !strings.HasPrefix(said, got+", ") {
				t.Errorf("the package comment says %q, and it is %q", said, got)
			}
		})
	}
}

// end says what became of the only text of a network, as the API shows it.
func (n *network) end(t *testing.T) string {
	t.Helper()
	sid := n.Texts()[0].SID
	n.waitStats(t, func(s sandbox.Stats) bool { return s.States[sandbox.Queued] == 0 })
	if !strings.HasSuffix(n.Texts()[0].To, "30000") {
		if err := n.WaitFinal(soon(t), 1); err != nil {
			t.Fatal(err)
		}
	}
	_, m := n.get(t, "/2010-04-01/Accounts/"+n.AccountSID()+"/Messages/"+sid+".json")
	switch code := m["error_code"]; {
	case code != nil && m["error_message"] == nil:
		return "a code without a message"
	case code != nil:
		return fmt.Sprint(m["status"], " ", code)
	case m["status"] == "sent":
		return "sent for ever"
	}
	return fmt.Sprint(m["status"])
}
