package api

import (
	"strings"
	"testing"
	"time"
)

// Nobody gets in a millisecond before the gate opens, whatever they try; and everybody does when it opens.
func TestNoWayAroundTheGate(t *testing.T) {
	t.Parallel()
	opening := time.Date(2021, 7, 19, 11, 0, 0, 0, time.UTC) // 20:00 in Seoul
	const slot, opens, early = "gangnam-0726-1030", "2021-07-19T20:00:00+09:00", "2021-07-19T19:59:59.999+09:00"
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	body := personBody("p1", slot, "1967-03-21")
	for name, try := range map[string]struct {
		body    string
		headers []string
		skew    time.Duration // of the process that is asked
		zone    *time.Location
	}{
		"a millisecond early":    {body: body},
		"the client's clock":     {body: body, headers: []string{"Date", "Mon, 19 Jul 2021 12:00:00 GMT"}},
		"a process that is fast": {body: body, skew: 3 * time.Hour},
		"another time zone":      {body: body, zone: newYork},
		"for somebody else": {body: strings.Replace(personBody("p1", slot, "1967-03-21"), `"reference"`,
			`"booked_by": {"name": "홍보람", "phone": "010-8765-4321"}, "reference"`, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			zone := try.zone
			if zone == nil {
				zone = time.UTC
			}
			r.now.Set(opening.Add(-time.Millisecond).In(zone))
			r.skew.Store(int64(try.skew))
			refused := r.do("POST", "/v1/reservations", try.body, append(try.headers, headerKey, "k1", "Accept-Language", "ko")...)
			r.problem(refused, 403, "not-open-yet")
			if refused.at("opens_at") != opens || refused.at("server_time") != early || refused.at("rule") != "born-1967-1968" ||
				refused.at("next_window", "opens_at") != opens || !strings.Contains(refused.raw, "이 분의 예약은 "+opens+"에 시작됩니다. 현재 서버 시각은 "+early+"입니다.") {
				t.Errorf("refused with %s", refused.raw)
			}
			// The same request is no worse for having been early: what was refused is not remembered.
			r.now.Set(opening.In(zone))
			if got := r.do("POST", "/v1/reservations", try.body, append(try.headers, headerKey, "k1")...); got.status != 201 {
				t.Errorf("at the opening: %d %s", got.status, got.raw)
			}
		})
	}
}

// A process whose clock is slow keeps nobody out.
func TestSlowProcessLetsIn(t *testing.T) {
	t.Parallel()
	r := newRig(t) // at the opening
	r.skew.Store(-int64(3 * time.Hour))
	if got := r.do("POST", "/v1/reservations", personBody("p1", "gangnam-0726-1030", "1967-03-21"), headerKey, "k1"); got.status != 201 {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// Who is admitted does not lend it to others: it is the resident's birth date that counts, and a stored answer books nothing.
func TestGateOfTheResident(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const slot = "gangnam-0726-1030"
	for birthDate, slug := range map[string]string{"1969-05-05": "not-open-yet", "1980-05-05": "not-eligible"} {
		onBehalf := strings.Replace(personBody("child of "+birthDate, slot, birthDate), `"reference"`, `"booked_by": {"name": "홍길동", "phone": "010-1234-5678"}, "reference"`, 1)
		r.problem(r.do("POST", "/v1/reservations", onBehalf, headerKey, "k"+birthDate), 403, slug)
	}
	body := personBody("p1", slot, "1967-03-21")
	first := r.do("POST", "/v1/reservations", body, headerKey, "k1")
	id, _ := first.at("id").(string)
	if got := r.do("POST", "/v1/reservations/"+id+"/cancel", "", headerKey, "k2"); got.status != 200 {
		t.Fatalf("cancel: %d", got.status)
	}
	r.now.Set(time.Date(2021, 7, 24, 9, 0, 0, 0, time.UTC)) // closed
	stored := r.do("POST", "/v1/reservations", body, headerKey, "k1")
	if stored.status != 201 || stored.header.Get(headerReplayed) != "true" {
		t.Errorf("the stored answer: %d %s", stored.status, stored.raw)
	}
	if got := r.do("GET", "/v1/reservations/"+id, ""); got.at("status") != "cancelled" {
		t.Errorf("a stored request brought it back: %s", got.raw)
	}
	r.problem(r.do("POST", "/v1/reservations", body, headerKey, "k3"), 403, "window-closed")
}
