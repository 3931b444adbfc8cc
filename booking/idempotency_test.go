package booking_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/booking"
	"ansim/schema/personal"
)

func TestReplayOfReply(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		req := person("id-1", "g2")
		req.Booker = &booking.Person{Name: "홍판서", Phone: "+821099998888"}
		req.Reference = "case 7"
		call := w.callAs(w.client, "k", "body")
		first, err := w.svc.Book(t.Context(), call, req)
		if err != nil {
			t.Fatal(err)
		}
		w.cancel(first.Reservation.ID)
		for name, svc := range map[string]*booking.Service{"same process": w.svc, "another process": w.service()} {
			again, err := svc.Book(t.Context(), call, req)
			if err != nil || !again.Replayed || !again.Created {
				t.Fatalf("%s: %+v, %v", name, again, err)
			}
			if d := cmp.Diff(first.Reservation, again.Reservation); d != "" { // as it was then: confirmed
				t.Errorf("%s: not the first answer:\n%s", name, d)
			}
		}
		if _, err := w.svc.Book(t.Context(), w.callAs(w.client, "k", "other"), req); !errors.Is(err, booking.ErrKeyReused) {
			t.Errorf("another body: %v", err)
		}
		other := w.callAs(w.client, "k", "other") // another route is another scope, and so is another client
		other.Route = "POST /v1/other"
		if _, err := w.svc.Book(t.Context(), other, person("id-2", "g2")); err != nil {
			t.Errorf("another route: %v", err)
		}
		if _, err := w.svc.Book(t.Context(), w.callAs(w.other, "k", "other"), person("id-3", "g2")); err != nil {
			t.Errorf("another client: %v", err)
		}
		var p *booking.ValidationProblem
		if _, err := w.svc.Book(t.Context(), w.callAs(w.client, "", "b"), req); !errors.As(err, &p) || p.Slug != booking.SlugKey {
			t.Errorf("no key: %v", err)
		}
		w.audit()
	})
}

func TestNothingPersonalWithKeys(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		w.book("identity-canary", "g2")
		var body []byte
		if err := w.db.Pool().Get(&body, "SELECT body FROM idempotency_key"); err != nil {
			t.Fatal(err)
		}
		for _, canary := range []string{"홍길동", "1012345678", "1967-", "identity-canary"} {
			if strings.Contains(string(body), canary) {
				t.Errorf("the stored answer holds %q", canary)
			}
		}
	})
}

func TestReplayOfRefusal(t *testing.T) {
	each(t, ruled, func(t *testing.T, w *world) {
		w.book("id-1", "g1")
		for _, c := range []struct {
			kind error
			req  booking.BookRequest
		}{
			{booking.ErrSlotFull, person("id-2", "g1")},
			{booking.ErrAlreadyBooked, person("id-1", "g2")},
			{booking.ErrNotFound, person("id-2", "no such slot")},
			{booking.ErrNotFound, person("id-2", "bad\x00slot")},
			{booking.ErrNotEligible, born("id-2", "1980-01-01")},
			{booking.ErrWindowClosed, born("id-2", "1962-05-05")},
		} {
			call := w.call()
			_, err := w.svc.Book(t.Context(), call, c.req)
			first := refusal(t, err, c.kind)
			w.clock.Set(w.clock.Now().Add(time.Hour))
			_, err = w.svc.Book(t.Context(), call, c.req)
			again := refusal(t, err, c.kind)
			if first.Replayed || !again.Replayed {
				t.Errorf("%v: replayed %v, %v", c.kind, first.Replayed, again.Replayed)
			}
			first.Replayed = true
			if d := cmp.Diff(view(first), view(again)); d != "" {
				t.Errorf("%v: not the first answer:\n%s", c.kind, d)
			}
		}
		// Not open yet is not final: the same key books when it has opened.
		call := w.call()
		req := born("id-5", "1970-05-05")
		_, err := w.svc.Book(t.Context(), call, req)
		refusal(t, err, booking.ErrNotOpenYet)
		w.clock.Set(time.Date(2021, 7, 21, 11, 0, 0, 0, time.UTC))
		if r, err := w.svc.Book(t.Context(), call, req); err != nil || r.Replayed {
			t.Errorf("after the opening: %+v %v", r, err)
		}
		w.audit()
	})
}

// view is what of a refusal can be compared.
func view(r *booking.Refusal) any {
	c := *r
	c.Kind = nil
	return c
}

func born(identity, date string) booking.BookRequest {
	r := person(identity, "g4")
	r.BirthDate = date
	return r
}

func TestKeyExpires(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		closes := time.Date(2021, 7, 24, 9, 0, 0, 0, time.UTC)
		call := w.callAs(w.client, "k", "body")
		first, err := w.svc.Book(t.Context(), call, person("id-1", "g5"))
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Set(closes.Add(72*time.Hour - time.Microsecond))
		if r, err := w.svc.Book(t.Context(), call, person("id-1", "g5")); err != nil || !r.Replayed {
			t.Errorf("just before: %+v %v", r, err)
		}
		w.clock.Set(closes.Add(72 * time.Hour))
		other := w.callAs(w.client, "k", "another body")
		if r, err := w.svc.Book(t.Context(), other, person("id-1", "g5")); err != nil || r.Replayed || r.Reservation.ID != first.Reservation.ID {
			t.Errorf("after: %+v %v", r, err)
		}
		if r, err := w.svc.Book(t.Context(), other, person("id-1", "g5")); err != nil || !r.Replayed || r.Created {
			t.Errorf("the key's second life: %+v %v", r, err)
		}
	})
}

func TestKeyInFlight(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		release := w.hold("g4")
		call := w.callAs(w.client, "k", "body")
		var wg sync.WaitGroup
		var created, replayed atomic.Int64
		first := make(chan error, 1)
		ctx, hangUp := context.WithCancel(t.Context())
		go func() {
			_, err := w.svc.Book(ctx, call, person("id-1", "g2"))
			first <- err
		}()
		w.waitFor(func() bool { return w.svc.Waiting() == 1 })
		hangUp() // its caller leaves; the request stays under way, and so does its key
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left: %v", err)
		}
		if _, err := w.svc.Book(t.Context(), call, person("id-1", "g2")); !errors.Is(err, booking.ErrKeyInProgress) {
			t.Errorf("in flight: %v", err) // after a second
		}
		release()
		for range 8 {
			wg.Go(func() {
				var r booking.Reply
				err := booking.ErrKeyInProgress
				for errors.Is(err, booking.ErrKeyInProgress) { // one of them is served at a time; who has waited a second comes again
					r, err = w.svc.Book(t.Context(), call, person("id-1", "g2"))
				}
				switch {
				case err != nil:
					t.Errorf("book: %v", err)
				case r.Replayed:
					replayed.Add(1)
				default:
					created.Add(1)
				}
			})
		}
		wg.Wait()
		if created.Load() != 0 || replayed.Load() != 8 {
			t.Errorf("%d created, %d replayed", created.Load(), replayed.Load())
		}
		w.audit()
	})
}

// TestKeyInTwoProcesses sends each key to two services at once: one books, the other waits for it and replays.
func TestKeyInTwoProcesses(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		svcs := []*booking.Service{w.svc, w.service()}
		var wg sync.WaitGroup
		for i := range 60 {
			var replies [2]booking.Reply
			var errs [2]error
			var pair sync.WaitGroup
			slot, key := []string{"g4", "g5", "m1", "g1"}[i%4], fmt.Sprintf("shared-%d", i)
			for n, svc := range svcs {
				pair.Go(func() {
					replies[n], errs[n] = svc.Book(t.Context(), w.callAs(w.client, key, key), person(key, slot))
				})
			}
			wg.Go(func() {
				pair.Wait()
				a, b := replies[0], replies[1]
				var f, g *booking.Refusal
				switch {
				case errors.As(errs[0], &f) && errors.As(errs[1], &g):
					if f.Replayed == g.Replayed || f.Kind != g.Kind {
						t.Errorf("key %d: %+v and %+v", i, f, g)
					}
					f.Replayed, g.Replayed = false, false
					if !reflect.DeepEqual(view(f), view(g)) && !cmp.Equal(view(f), view(g)) {
						t.Errorf("key %d: two refusals: %s", i, cmp.Diff(view(f), view(g)))
					}
				case errs[0] != nil || errs[1] != nil:
					t.Errorf("key %d: %v, %v", i, errs[0], errs[1])
				case a.Replayed == b.Replayed || !a.Created || !b.Created:
					t.Errorf("key %d: replayed %v and %v, created %v and %v", i, a.Replayed, b.Replayed, a.Created, b.Created)
				case !cmp.Equal(a.Reservation, b.Reservation):
					t.Errorf("key %d: two reservations", i)
				}
			})
		}
		wg.Wait()
		w.audit()
	})
}

// TestKeyForTwoSlotsInTwoProcesses uses one key for two requests at once, in two processes: one is done, one is refused.
func TestKeyForTwoSlotsInTwoProcesses(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		svcs := []*booking.Service{w.svc, w.service()}
		for i := range 20 {
			var errs [2]error
			var wg sync.WaitGroup
			for n, svc := range svcs {
				wg.Go(func() {
					slot := []string{"g5", "m2"}[n]
					req := person(fmt.Sprintf("id-%d-%d", i, n), slot)
					req.Phone = personal.Phone(fmt.Sprintf("+8210%08d", i))
					_, errs[n] = svc.Book(t.Context(), w.callAs(w.client, fmt.Sprint("k", i), slot), req)
				})
			}
			wg.Wait()
			reused := 0
			for _, err := range errs {
				if errors.Is(err, booking.ErrKeyReused) {
					reused++
				} else if err != nil && !errors.Is(err, booking.ErrSlotFull) {
					t.Errorf("round %d: %v", i, err)
				}
			}
			if reused != 1 {
				t.Errorf("round %d: %v, %v", i, errs[0], errs[1])
			}
		}
		w.audit()
	})
}
