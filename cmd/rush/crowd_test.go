package rush

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ansim/test/pipe"
)

// api answers as the service would, or as a test wants.
type api struct {
	mu    sync.Mutex
	codes map[string]string // by identity
	keys  map[string]string // answers by key
	seen  map[string]int    // requests, by what they were
	gate  time.Time
	spoil func(w http.ResponseWriter, key string, n int) bool // answers itself
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	say := func(status int, body string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	problem := func(status int, slug string) { say(status, fmt.Sprintf(`{"type":"/problems/%s"}`, slug)) }
	var body struct {
		Slot     string            `json:"slot_id"`
		Resident map[string]string `json:"resident"`
	}
	b, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(b, &body)
	a.seen[r.Method+" "+key]++
	if r.Header.Get("Authorization") != "Bearer the-key" {
		problem(http.StatusUnauthorized, "unauthorized")
		return
	}
	if a.spoil != nil && a.spoil(w, key, a.seen[r.Method+" "+key]) {
		return
	}
	who := body.Resident["identity"]
	switch {
	case r.Method == http.MethodGet:
		id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		say(http.StatusOK, fmt.Sprintf(`{"id":%q,"code":%q}`, id, a.codes[id]))
	case strings.HasSuffix(r.URL.Path, "/cancel"):
		say(http.StatusOK, `{}`)
	case time.Now().Before(a.gate):
		problem(http.StatusForbidden, "not-open-yet")
	case body.Resident["birth_date"] == "1985-05-05":
		problem(http.StatusForbidden, "not-eligible")
	case a.keys[key] != "":
		say(http.StatusOK, a.keys[key])
	case a.codes[who] != "":
		problem(http.StatusConflict, "already-booked")
	default:
		a.codes[who] = fmt.Sprintf("AAAAA-%05d", len(a.codes))
		a.keys[key] = fmt.Sprintf(`{"id":%q,"code":%q}`, who, a.codes[who])
		say(http.StatusCreated, a.keys[key])
	}
}

// play lets a crowd at an api, and returns its history and last tally. The test is in a bubble, so that nobody comes too late for
// the gate because the machine is slow.
func play(t *testing.T, a *api, people int) ([]*entry, tally) {
	t.Helper()
	a.codes, a.keys, a.seen = map[string]string{}, map[string]string{}, map[string]int{}
	a.gate = time.Now().Add(warmUp + lead)
	service := pipe.Serve(t, &http.Server{Handler: a})
	history := filepath.Join(t.TempDir(), "history")
	b, err := json.Marshal(orders{URLs: []string{"http://ansim.test"}, Key: "the-key", Slots: []string{"s0", "s1"}, Seed: 3, People: people, Gate: a.gate,
		Over: time.Second, Workers: 32, History: history})
	if err != nil {
		t.Fatal(err)
	}
	in, orders := io.Pipe()
	defer orders.Close()
	go func() { _, _ = orders.Write(append(b, '\n')) }()
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := come(ctx, in, &out, service.Dial); err != nil {
		t.Fatal(err)
	}
	var last tally
	for lines := json.NewDecoder(&out); lines.Decode(&last) == nil; {
	}
	entries, err := readHistory(history)
	if err != nil {
		t.Fatal(err)
	}
	return entries, last
}

func TestACrowdGetsItsPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		entries, last := play(t, &api{}, 400)
		count := map[string]int{}
		for _, e := range entries {
			count[e.Outcome]++
			if e.Outcome == booked && (e.Code == "" || e.Answered.Before(e.Click)) || len(e.Wrong) > 0 {
				t.Errorf("%+v", e)
			}
			count["early"] += e.Early
			if e.Cancelled {
				count["cancelled"]++
			}
			if !e.LookedAt.IsZero() {
				count["looked"]++
			}
		}
		if count[booked]+count["not-eligible"] != 400 || count["not-eligible"] == 0 || count["early"] == 0 || count["cancelled"] == 0 || count["looked"] == 0 {
			t.Errorf("%v", count)
		}
		if !last.Done || last.Booked != int64(count[booked]) || last.Refused != int64(count["not-eligible"]) || last.Clicked != 400 || last.Early != int64(count["early"]) {
			t.Errorf("%+v, but %v", last, count)
		}
	})
}

// TestACrowdInsists: whatever happens to the first answers, the same key is asked again, and everybody has one place.
func TestACrowdInsists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var full sync.Map
		entries, _ := play(t, &api{spoil: func(w http.ResponseWriter, key string, n int) bool {
			switch {
			case !strings.HasPrefix(key, "rush-") || strings.HasSuffix(key, "-early") || strings.HasSuffix(key, "-cancel") || n > 1:
				return false
			case strings.Contains(key, "-then-"):
				full.Store(key, true)
				return false
			case key[5]%4 == 0:
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusServiceUnavailable)
			case key[5]%4 == 1:
				w.WriteHeader(http.StatusConflict)
				_, _ = io.WriteString(w, `{"type":"/problems/slot-full","alternatives":[{"id":"s9"}]}`)
			case key[5]%4 == 2:
				panic(http.ErrAbortHandler) // the connection ends
			default:
				w.WriteHeader(http.StatusInternalServerError)
			}
			return true
		}}, 60)
		busy, lost, other := 0, 0, 0
		for _, e := range entries {
			if e.Outcome != booked && e.Outcome != "not-eligible" || len(e.Wrong) > 0 {
				t.Errorf("%+v", e)
			}
			busy, lost, other = busy+e.Overloaded, lost+e.Unanswered, other+e.Full
		}
		if busy == 0 || lost == 0 || other == 0 {
			t.Errorf("overloaded %d, without an answer %d, full %d", busy, lost, other)
		}
	})
}

// TestACrowdSeesContradictions: an API that breaks its word is found out.
func TestACrowdSeesContradictions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		entries, _ := play(t, &api{spoil: func(w http.ResponseWriter, key string, _ int) bool {
			n++
			w.WriteHeader(http.StatusCreated)
			_, _ = fmt.Fprintf(w, `{"id":"x","code":"AAAAA-%05d"}`, n) // another one for each request, at any time
			return true
		}}, 200)
		found := map[string]int{}
		for _, e := range entries {
			for _, w := range e.Wrong {
				found[w]++
			}
		}
		for _, want := range []string{"booked before the gate", "two reservations for one person"} {
			if found[want] == 0 {
				t.Errorf("nobody noticed: %s (%v)", want, found)
			}
		}
	})
}

// TestACrowdGoesHome: when its orders end, it leaves the history of what had happened by then.
func TestACrowdGoesHome(t *testing.T) {
	t.Parallel()
	history := filepath.Join(t.TempDir(), "history")
	b, err := json.Marshal(orders{URLs: []string{"http://127.0.0.1:1"}, Slots: []string{"s"}, People: 3, Gate: time.Now().Add(time.Hour), Over: time.Second,
		Workers: 1, History: history})
	if err != nil {
		t.Fatal(err)
	}
	if err := Crowd(t.Context(), bytes.NewReader(append(b, '\n')), io.Discard); err != nil {
		t.Fatal(err)
	}
	entries, err := readHistory(history)
	if err != nil || len(entries) != 3 || entries[0].Requests != 0 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	for _, bad := range []string{"", "no json\n", "{}\n"} {
		if err := Crowd(t.Context(), strings.NewReader(bad), io.Discard); err == nil {
			t.Errorf("it takes %q for orders", bad)
		}
	}
}

func TestTheAgendaIsInOrder(t *testing.T) {
	t.Parallel()
	a, began := newAgenda(), time.Now()
	var mu sync.Mutex
	var done []int
	note := func(n int) func(context.Context) {
		return func(context.Context) {
			mu.Lock()
			defer mu.Unlock()
			done = append(done, n)
		}
	}
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	a.add(at(0), at(-3), note(2))
	a.add(at(0), at(-5), note(1))
	a.add(at(4), at(-9), note(4))
	a.add(at(-1), at(-1), note(3))
	for _, now := range []int{0, 0, 0, 4} {
		do, _, _ := a.next(at(now))
		if do == nil {
			t.Fatalf("after %d s nothing is due; done: %v", now, done)
		}
		do(t.Context())
		a.done()
		if now == 0 && len(done) == 3 {
			if do, wait, over := a.next(at(1)); do != nil || wait != 3*time.Second || over {
				t.Errorf("before the last is due: wait %v, over %v", wait, over)
			}
		}
	}
	if fmt.Sprint(done) != "[1 2 3 4]" {
		t.Errorf("%v", done)
	}
	if _, _, over := a.next(at(4)); !over {
		t.Error("nothing is left, and it is not over")
	}
	a.add(began, began, func(context.Context) { a.add(began, began, note(5)) }) // who does one thing may plan another
	a.work(t.Context(), 1)
	if done[len(done)-1] != 5 {
		t.Errorf("%v", done)
	}
}
