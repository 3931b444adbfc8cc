package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ansim/test/dbtest"
	kafkatest "ansim/test/kafka"
)

// TestJourney is one family's way through the service, the same on every kind of database and broker: book, be told, look it
// up, repeat oneself, cancel, be told again.
func TestJourney(t *testing.T) {
	t.Parallel()
	t.Run("sqlite+embedded", func(t *testing.T) { t.Parallel(); journey(t, embedded(t)) })
	t.Run("postgres+apache", func(t *testing.T) { t.Parallel(); journey(t, onServers(t, kafkatest.Start(t))) })
	t.Run("postgres+apache with TLS and a login", func(t *testing.T) {
		t.Parallel()
		broker := kafkatest.StartSecure(t)
		in := install(t, append(broker.Environ(), "ANSIM_DATABASE_URL="+dbtest.PostgresURL(t))...)
		journey(t, in, broker.Password)
		if r := run(t, in.env, "check", "--settled", "--kafka", broker.Addr); r.code != 0 {
			t.Errorf("check: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		const wrong = "not-the-password"
		in.env = with(in.env, "ANSIM_KAFKA_PASSWORD="+wrong)
		r := run(t, in.env, "check", "--kafka", broker.Addr)
		if r.code != 1 || !strings.Contains(r.stderr, "Authentication") {
			t.Errorf("check with another password: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		// A service that Kafka does not let in says so, and goes on booking.
		service := in.serve(all)
		service.line(service.err, "Authentication")
		in.mustPost(http.StatusOK, "/v1/reservations/search", "", map[string]any{"reference": "A-1029"})
		service.stop()
		if strings.Contains(r.stdout+r.stderr+service.out.String()+service.err.String(), wrong) {
			t.Error("the output holds the password")
		}
	})
}

func journey(t *testing.T, in *installation, secrets ...string) {
	service := in.serve(all)
	in.prepare()
	body := map[string]any{
		"slot_id": in.slots[0], "language": "ko", "reference": "A-1029",
		"resident":  map[string]string{"identity": "ci-8f14e45f", "name": "홍길순", "birth_date": "1967-03-21", "phone": "010-2345-6789"},
		"booked_by": map[string]string{"name": "홍보람", "phone": "+82 10-8765-4321"},
	}
	a := in.mustPost(http.StatusCreated, "/v1/reservations", "first", body)
	var booked reservation
	a.decode(t, &booked)
	if a.header.Get("Location") != "/v1/reservations/"+booked.ID || booked.Status != "confirmed" || booked.Confirmation.State != "pending" {
		t.Errorf("Location %q, %+v", a.header.Get("Location"), booked)
	}
	if r := in.delivered(booked.ID, 2); r.Code != booked.Code {
		t.Errorf("the code was %s and is %s", booked.Code, r.Code)
	}
	texts := in.texts(t)
	for i, to := range map[int]string{0: "+821023456789", 1: "+821087654321"} {
		if len(texts) != 2 || (texts[0].To != to && texts[1].To != to) {
			t.Errorf("text %d of %d did not go to its person", i, len(texts))
		}
	}
	for _, x := range texts {
		if x.code() != booked.Code || !strings.HasPrefix(x.Body, "[백신예약]") || !strings.Contains(x.Body, "예약완료") {
			t.Errorf("the text says %q", x.Body)
		}
	}

	again := in.mustPost(http.StatusCreated, "/v1/reservations", "first", body)
	if !again.replayed || string(again.body) != string(a.body) {
		t.Errorf("the same request again got another answer (replayed: %v): %s", again.replayed, again.body)
	}
	other := map[string]any{"slot_id": in.slots[1], "resident": body["resident"]}
	in.mustPost(http.StatusUnprocessableEntity, "/v1/reservations", "first", other)
	in.mustPost(http.StatusConflict, "/v1/reservations", "second", other)
	in.mustPost(http.StatusBadRequest, "/v1/reservations", "", body)

	for name, search := range map[string]map[string]any{
		"code": {"code": booked.Code}, "reference": {"reference": "A-1029"},
		"code as heard": {"code": strings.ToLower(strings.ReplaceAll(booked.Code, "-", ""))},
	} {
		var found struct {
			Reservations []reservation `json:"reservations"`
		}
		in.mustPost(http.StatusOK, "/v1/reservations/search", "", search).decode(t, &found)
		if len(found.Reservations) != 1 || found.Reservations[0].ID != booked.ID {
			t.Errorf("search by %s found %+v", name, found)
		}
	}

	changed(t, in, booked)
	a = in.mustPost(http.StatusOK, "/v1/reservations/"+booked.ID+"/cancel", "third", map[string]any{})
	if r := in.delivered(booked.ID, 8); r.Status != "cancelled" {
		t.Errorf("after the cancel it is %s", r.Status)
	}
	if again := in.mustPost(http.StatusOK, "/v1/reservations/"+booked.ID+"/cancel", "third", map[string]any{}); string(again.body) != string(a.body) {
		t.Errorf("the same cancel again got another answer: %s", again.body)
	}
	for _, x := range in.texts(t)[7:] {
		if !x.cancels() || x.code() != booked.Code {
			t.Errorf("the text says %q", x.Body)
		}
	}
	in.mustPost(http.StatusCreated, "/v1/reservations", "fourth", body) // the person is free to book again

	rep := in.settled(time.Minute)
	if f := rep.Figures; f.Booked != 2 || f.Accepted != 2 || f.Lost != 0 || f.Duplicates != 0 {
		t.Errorf("figures: %+v", f)
	}
	if n := in.rescued(service); n != 0 {
		t.Errorf("the sweeper had to rescue %s messages, and nobody had broken Kafka", fmt.Sprint(n))
	}
	t.Logf("ended %s after SIGTERM", service.stop())
	for _, secret := range append(secrets, "홍길순", "홍보람", "23456789", "34567890", "87654321", booked.Code, strings.ReplaceAll(booked.Code, "-", ""), in.key,
		"ci-8f14e45f", "A-1029", "1967-03-21") {
		if strings.Contains(service.out.String()+service.err.String(), secret) {
			t.Errorf("the service's output holds %q", secret)
		}
	}
}

// changed moves a reservation and corrects its number, each of which is told, the second at the new number, and then reads the
// whole story, and what the resident can look up without a key.
func changed(t *testing.T, in *installation, booked reservation) {
	t.Helper()
	path := "/v1/reservations/" + booked.ID
	in.mustPost(http.StatusOK, path+"/reschedule", "moved", map[string]any{"slot_id": in.slots[1]})
	in.delivered(booked.ID, 4)
	in.mustPost(http.StatusOK, path+"/contact", "corrected", map[string]any{"phone": "010-3456-7890"})
	in.delivered(booked.ID, 6)
	// The number that was replaced is told, too. That is no text of the reservation's people, so the API does not show it.
	await(t, time.Minute, "the former number is told", func() error {
		if n := len(in.texts(t)); n != 7 {
			return fmt.Errorf("%w: %d texts", errNotYet, n)
		}
		return nil
	})
	to := map[string]int{}
	for _, x := range in.texts(t)[2:] {
		if strings.Contains(x.Body, "더 보내지 않습니다") {
			if x.To != "+821023456789" || x.code() != booked.Code || strings.Contains(x.Body, "홍") || strings.Contains(x.Body, "보건소") {
				t.Errorf("to %s: %q", x.To, x.Body)
			}
			continue
		}
		to[x.To]++
		if !strings.Contains(x.Body, "예약변경") || x.code() != booked.Code {
			t.Errorf("the text says %q", x.Body)
		}
	}
	if to["+821023456789"] != 1 || to["+821034567890"] != 1 || to["+821087654321"] != 2 {
		t.Errorf("the changes were told to %v", to)
	}

	var story struct {
		Events []struct{ Type, Sentence string }
	}
	if err := in.get(t.Context(), path+"/timeline", &story); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, e := range story.Events {
		seen[e.Type]++
		if e.Sentence == "" {
			t.Errorf("%s without a sentence", e.Type)
		}
	}
	for what, n := range map[string]int{"booked": 1, "rescheduled": 1, "contact-corrected": 1, "text-queued": 6, "text-handed-over": 6, "text-delivered": 6} {
		if seen[what] != n {
			t.Errorf("the story has %d of %s, want %d: %v", seen[what], what, n, seen)
		}
	}
	var found struct {
		Status       string
		Slot         struct{ ID string }
		Confirmation struct{ State string }
	}
	in.mustPost(http.StatusOK, "/v1/lookup", "", map[string]any{"code": booked.Code, "birth_date": "1967-03-21"}).decode(t, &found)
	if found.Status != "confirmed" || found.Slot.ID != in.slots[1] || found.Confirmation.State != "delivered" {
		t.Errorf("looked up: %+v", found)
	}
}

// mustPost posts and wants a status.
func (in *installation) mustPost(status int, path, key string, body any) answer {
	in.t.Helper()
	a, err := in.post(in.t.Context(), path, key, body)
	if err != nil {
		in.t.Fatalf("POST %s: %v", path, err)
	}
	if a.status != status {
		in.t.Fatalf("POST %s: status %d, not %d: %s", path, a.status, status, a.body)
	}
	return a
}

// delivered waits until a reservation has n texts, all of them delivered.
func (in *installation) delivered(id string, n int) (r reservation) {
	in.t.Helper()
	await(in.t, time.Minute, "the texts are delivered", func() (err error) {
		if r, err = in.read(in.t.Context(), id); err != nil {
			return err
		}
		for _, x := range r.Confirmation.Texts {
			if x.State != "delivered" {
				return fmt.Errorf("%w: %+v", errNotYet, r.Confirmation)
			}
		}
		if len(r.Confirmation.Texts) != n || r.Confirmation.State != "delivered" {
			return fmt.Errorf("%w: %+v", errNotYet, r.Confirmation)
		}
		return nil
	})
	return r
}

var errNotYet = errors.New("not yet")

// rescued is what the sweeper of a process counted.
func (in *installation) rescued(p *process) float64 {
	in.t.Helper()
	return in.metric(p, "ansim_sweeper_rescued_total")
}

// metric is the value of a metric without labels. While the database is slow, what it alone knows is not there.
func (in *installation) metric(p *process, name string) (value float64) {
	in.t.Helper()
	await(in.t, time.Minute, "the metric "+name, func() error {
		a, err := in.page("http://" + p.addr() + "/metrics")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(a.body)) {
			if n, err := fmt.Sscanf(line, name+" %g", &value); n == 1 && err == nil {
				return nil
			}
		}
		return errNotYet
	})
	return value
}
