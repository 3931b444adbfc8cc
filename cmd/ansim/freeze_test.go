package main

import (
	"os"
	"strings"
	"testing"

	"ansim/notifier"
)

func TestFreezeAndResume(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		frozen := func() notifier.SendingState {
			t.Helper()
			s, err := notifier.ReadSending(t.Context(), o.db)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if code, _, stderr := o.ran("resume", "--without-provider", "--by", "park"); code != exitFailed || !strings.Contains(stderr, "not frozen") {
			t.Errorf("resume of what runs: exit %d, %q", code, stderr)
		}
		if code, out, _ := o.ran("freeze", "--by", "park"); code != exitDone || !strings.Contains(out, "ansim resume") {
			t.Errorf("freeze: exit %d, %q", code, out)
		}
		first := frozen()
		if !first.Frozen || first.By != "cli:park" || first.Reason != notifier.FrozenByPerson {
			t.Errorf("%+v", first)
		}
		if code, _, _ := o.ran("freeze", "--by", "kim"); code != exitDone || frozen() != first {
			t.Errorf("frozen twice: exit %d, %+v; who said so first stands", code, frozen())
		}
		if os.Getenv("TWILIO_ACCOUNT_SID") != "" {
			t.Log("the settings of a provider are in the environment: that they are missed is not tested")
		} else if code, _, stderr := o.ran("resume", "--by", "park"); code != exitFailed || !strings.Contains(stderr, "TWILIO_ACCOUNT_SID") || !frozen().Frozen {
			t.Errorf("resume without settings: exit %d, %q", code, stderr)
		}
		if code, out, _ := o.ran("resume", "--without-provider", "--dry-run", "--by", "park"); code != exitDone || !strings.Contains(out, "stays frozen") || !frozen().Frozen {
			t.Errorf("dry run: exit %d, %q", code, out)
		}
		code, out, _ := o.ran("resume", "--without-provider", "--json", "--by", "park")
		if code != exitDone || !strings.Contains(out, `"resumed":true`) || frozen().Frozen || frozen().By != "cli:park" {
			t.Errorf("resume: exit %d, %q, %+v", code, out, frozen())
		}
		if _, out, _ := o.ran("audit", "list", "--json"); strings.Count(out, "sending-frozen") != 2 || strings.Count(out, "sending-resumed") != 1 {
			t.Errorf("the trail:\n%s", out)
		}
	})
}
