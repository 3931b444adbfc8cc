package console

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"ansim/notifier/console/bulk"
	"ansim/notifier/console/staff"
	"ansim/schema/sqldb"
)

// A supervisor looks at a cause, lets it go on, and sees how far it is; what nobody may or what makes no sense is refused.
func TestRuns(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book("one")
		r.fails(res.ID, "error-30003")
		r.later(2 * time.Minute)
		b, agent := r.signedIn(staff.Supervisor), r.signedIn(staff.Agent)
		agent.says(agent.get("/console/attention"), 200, "error-30003", words["attention-how"].Ko)
		if a := agent.get("/console/attention"); strings.Contains(a.body, "preview") {
			t.Error("an agent is offered what they may not do")
		}
		b.says(b.get("/console/attention"), 200, "error-30003", words["look-at"].Ko)
		b.says(b.get("/console/runs"), 200, words["runs-0"].Ko)
		cause := []string{"about", "cause", "kind", "texts", "target", "error-30003"}
		plan := b.post("/console/runs/preview", cause...)
		b.says(plan, 200, words["plan-nothing-yet"].Ko, "/console/reservations/"+res.ID)
		nonce := regexp.MustCompile(`name="nonce" value="([^"]+)"`).FindStringSubmatch(plan.body)[1]
		b.says(b.post("/console/runs", append(cause, "nonce", nonce)...), 422, saysReason.Ko)
		b.says(b.post("/console/runs", append(cause, "reason", "the carrier is back")...), 422, saysAgain.Ko, `value="the carrier is back"`)
		for range 2 { // pressed twice
			a := b.post("/console/runs", append(cause, "nonce", nonce, "reason", "the carrier is back")...)
			if to := a.header.Get("Location"); a.code != 303 || to != "/console/runs/"+nonce {
				t.Errorf("%d, to %s", a.code, to)
			}
		}
		run := "/console/runs/" + nonce
		b.says(b.get(run), 200, words["run-begun"].Ko, words["run-running"].Ko, "the carrier is back", `data-live="`+run+`/live"`, "0 / 1")
		b.says(b.post(run+"/pause"), 303)
		b.says(b.get(run), 200, words["run-go-on"].Ko)
		b.says(b.post(run+"/pause"), 409, saysMoved.Ko)
		b.says(b.post(run+"/go-on"), 303)
		if found, err := bulk.NewWorker(r.desk(), slog.New(slog.DiscardHandler)).Once(t.Context()); !found || err != nil {
			t.Errorf("%t, %v", found, err)
		}
		live := b.get(run + "/live")
		b.says(live, 200, words["run-done"].Ko, "1 / 1", "data-over")
		if strings.Contains(live.body, "<html") {
			t.Error("the part that moves is a whole page")
		}
		b.says(b.post(run+"/stop"), 409, saysMoved.Ko)
		b.says(b.get("/console/runs"), 200, run, "1/1")
		b.says(b.get("/console/trail"), 200, "run-begun", "run-paused", "run-continued", nonce)
		b.says(b.post("/console/runs/preview", cause...), 200, words["nothing-left"].Ko)
		b.says(b.post("/console/runs/preview", "about", "slot", "target", "g1"), 200, words["about-slot"].Ko+": g1")
		b.says(b.post("/console/runs/preview", "about", "slot", "target", "nowhere"), 422, saysNoSlot.Ko, `value="nowhere"`)
		b.says(b.post("/console/runs/preview", "about", "slot"), 422, saysSlot.Ko)
		for _, bad := range [][]string{{}, {"about", "everything"}, {"about", "cause"}, {"about", "all", "target", "x"}, {"about", "all", "kind", "x"}} {
			b.says(b.post("/console/runs/preview", bad...), 422, words["unclear"].Ko)
		}
		for _, none := range []string{"x", "01a21d8e-3ffe-735f-a8ca-fd6f540b308e"} {
			b.says(b.get("/console/runs/"+none), 404, words["no-run"].Ko)
			b.says(b.post("/console/runs/"+none+"/stop"), 404, words["no-run"].Ko)
		}
	})
}

// What is being solved without anybody is shown, too, by its reason.
func TestTroubles(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		b := r.signedIn(staff.Viewer)
		if a := b.get("/console/attention"); a.code != 200 || strings.Contains(a.body, words["troubles"].Ko) {
			t.Errorf("of nothing: %d\n%s", a.code, a.body)
		}
		r.stands(r.book("one").ID, "unknown", "look", "answer-lost")
		r.stands(r.book("two").ID, "undelivered", "send", "error-30003")
		r.stands(r.book("three").ID, "undelivered", "send", "error-30003")
		r.stands(r.book("four").ID, "pending", "send", "")
		b.says(b.get("/console/attention"), 200, words["attention-0"].Ko, words["trouble-unknown"].Ko+" · answer-lost", words["trouble-undelivered"].Ko+" · error-30003", "<td>2</td>")
	})
}

// The part of the page that moves does not keep a session alive.
func TestLiveDoesNotKeepTheSession(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		b := r.signedIn(staff.Viewer)
		b.says(b.get("/console"), 200, `data-live="/console/live"`, "<svg", words["provider-none"].Ko)
		a := b.get("/console/live")
		b.says(a, 200, "<svg", words["booked-now"].Ko)
		if strings.Contains(a.body, "<html") || a.header.Get("Set-Cookie") != "" {
			t.Errorf("cookie %q:\n%s", a.header.Get("Set-Cookie"), a.body)
		}
		ends := func() (at sqldb.Time) {
			t.Helper()
			if err := r.db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return tx.Get(ctx, &at, `SELECT expires_at FROM staff_session`)
			}); err != nil {
				t.Fatal(err)
			}
			return at
		}
		before := ends()
		for range 3 {
			b.says(b.get("/console/live"), 200)
		}
		if after := ends(); !after.Equal(before.Time) {
			t.Errorf("the session ends %s later", after.Sub(before.Time))
		}
		b.says(b.get("/console"), 200)
		if after := ends(); !after.After(before.Time) {
			t.Error("a person's own request does not keep the session")
		}
	})
}

// The figures are sampled, and what was set off is done, for as long as the console runs.
func TestRun(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		res := r.book("one")
		r.fails(res.ID, "error-30003")
		r.later(2 * time.Minute)
		c, err := New(r.options(""))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); c.Run(ctx) }()
		id := "01a21d8e-3ffe-735f-a8ca-fd6f540b308e"
		if err := r.desk().Start(ctx, id, "staff:lee", bulk.Order{About: bulk.Slot, Target: "g1", Reason: "x"}, 1); err != nil {
			t.Fatal(err)
		}
		c.worker.Wake()
		for { // bounded by the test's own time
			run, err := r.desk().Get(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if run.State == bulk.Done && len(c.figures.all()) > 0 {
				break
			}
		}
		cancel()
		<-ended
		if s := c.figures.all()[0]; s.booked != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestChart(t *testing.T) {
	t.Parallel()
	v := &visit{lang: "en"}
	for _, c := range []struct {
		values []float64
		points string
		says   string
	}{
		{[]float64{0, 5, 10}, "0.0,30.0 60.0,16.0 120.0,2.0", "The last 10 minutes, at most 10"},
		{[]float64{0}, "0.0,30.0 120.0,30.0", "The last 10 minutes, at most 0"},
		{[]float64{3, 3}, "0.0,2.0 120.0,2.0", "The last 10 minutes, at most 3"},
	} {
		if got := v.chart(c.values); got.Points != c.points || got.Says != c.says {
			t.Errorf("%+v", got)
		}
	}
	f := &figures{}
	for i := range samplesKept + 5 {
		f.add(sample{booked: int64(i)})
	}
	if all := f.all(); len(all) != samplesKept || all[0].booked != 5 {
		t.Errorf("%d samples from %d", len(all), all[0].booked)
	}
}
