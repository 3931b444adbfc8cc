package booking_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ansim/booking"
	"ansim/schema/event"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

func TestBook(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		req := person("id-1", "g2")
		req.Booker = &booking.Person{Name: "홍판서", Phone: "+821099998888"}
		req.Reference = "case 7"
		call := w.call()
		call.Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		got, err := w.svc.Book(t.Context(), call, req)
		if err != nil {
			t.Fatal(err)
		}
		r := got.Reservation
		if !got.Created || got.Replayed || r.Version != 1 || r.Status != booking.StatusConfirmed || len(r.Code) != 10 {
			t.Errorf("reply %+v", got)
		}
		if want := "2021-07-26T10:40:00+09:00"; r.Slot.StartsAt.Format(time.RFC3339) != want || r.Slot.SiteID != "gangnam" {
			t.Errorf("slot %+v", r.Slot)
		}
		read, err := w.svc.Get(t.Context(), w.client, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, read); d != "" {
			t.Errorf("Get differs from the reply:\n%s", d)
		}
		if read.Name.Reveal() != "홍길동" || read.Booker.Phone.Reveal() != "+821099998888" {
			t.Error("a masked value was stored")
		}
		var row struct {
			Type, Recipients, Traceparent string
			Version                       int
		}
		if err := w.db.Pool().Get(&row, "SELECT type, recipients, traceparent, version FROM outbox"); err != nil {
			t.Fatal(err)
		}
		if row.Type != string(event.Booked) || row.Version != 1 || row.Traceparent != call.Traceparent {
			t.Errorf("outbox row %+v", row)
		}
		if _, err := w.svc.Get(t.Context(), w.other, r.ID); !errors.Is(err, booking.ErrNotFound) {
			t.Errorf("another client got %v", err)
		}
		for _, id := range []string{"", "x", "00000000-0000-0000-0000-000000000000", "{" + r.ID + "}"} {
			if _, err := w.svc.Get(t.Context(), w.client, id); !errors.Is(err, booking.ErrNotFound) {
				t.Errorf("Get %q: %v", id, err)
			}
		}
		w.audit()
	})
}

func TestSearch(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		req := person("id-1", "g2")
		req.Reference = "case 7"
		got, err := w.svc.Book(t.Context(), w.call(), req)
		if err != nil {
			t.Fatal(err)
		}
		w.book("id-2", "g2")
		code := booking.FormatCode(got.Reservation.Code)
		for _, q := range []struct {
			client          booking.Client
			code, reference string
			want            int
		}{
			{w.client, code, "", 1}, {w.client, "", "case 7", 1}, {w.client, code, "case 7", 1}, {w.client, code, "case 8", 0},
			{w.client, "", "", 0}, {w.other, code, "", 0}, {w.other, "", "case 7", 0},
		} {
			found, err := w.svc.Search(t.Context(), q.client, q.code, q.reference)
			if err != nil || len(found) != q.want {
				t.Errorf("search %q %q: %d found, %v", q.code, q.reference, len(found), err)
			}
		}
		var p *booking.ValidationProblem
		if _, err := w.svc.Search(t.Context(), w.client, "nonsense", ""); !errors.As(err, &p) || p.Slug != booking.SlugCode {
			t.Errorf("a code that is none: %v", err)
		}
	})
}

func TestNeverOversold(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		second := w.service() // as a second process would
		var booked, full atomic.Int64
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				svc := w.svc
				if i%2 == 1 {
					svc = second
				}
				for j, slot := range []string{"g1", "g2", "g3", "g4"} {
					_, err := svc.Book(t.Context(), w.call(), person(fmt.Sprintf("id-%d-%d", i, j), slot))
					switch {
					case err == nil:
						booked.Add(1)
					case errors.Is(err, booking.ErrSlotFull):
						full.Add(1)
					default:
						t.Errorf("book: %v", err)
					}
				}
			})
		}
		wg.Wait()
		if booked.Load() != 16 || full.Load() != 64*4-16 {
			t.Errorf("%d booked, %d refused; 16 places", booked.Load(), full.Load())
		}
		w.audit()
	})
}

func TestOneActiveReservation(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		second := w.service()
		var created, refused atomic.Int64
		var wg sync.WaitGroup
		slots := []string{"g2", "g3", "g4", "g5", "m1", "m2"}
		for i := range 48 {
			wg.Go(func() {
				svc := w.svc
				if i%2 == 1 {
					svc = second
				}
				r, err := svc.Book(t.Context(), w.call(), person("the same", slots[i%len(slots)]))
				switch {
				case err == nil && r.Created:
					created.Add(1)
				case err == nil: // the same slot as the first: a repeat
				case errors.Is(err, booking.ErrAlreadyBooked):
					refused.Add(1)
				default:
					t.Errorf("book: %v", err)
				}
			})
		}
		wg.Wait()
		if created.Load() != 1 || refused.Load() != 40 {
			t.Errorf("%d created, %d refused", created.Load(), refused.Load())
		}
		w.audit()
	})
}

func TestRepeatWithoutKey(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		first := w.book("id-1", "g2")
		again, err := w.svc.Book(t.Context(), w.call(), person("id-1", "g2"))
		if err != nil || again.Created || again.Replayed {
			t.Fatalf("repeat: %+v, %v", again, err)
		}
		if d := cmp.Diff(first, again.Reservation); d != "" {
			t.Errorf("the repeat got another reservation:\n%s", d)
		}
		change := map[string]func(*booking.BookRequest){
			"slot":     func(r *booking.BookRequest) { r.SlotID = "g3" },
			"name":     func(r *booking.BookRequest) { r.Name = "홍길순" },
			"birth":    func(r *booking.BookRequest) { r.BirthDate = "1967-03-22" },
			"phone":    func(r *booking.BookRequest) { r.Phone = "+821012345679" },
			"language": func(r *booking.BookRequest) { r.Language = "en" },
			"booker":   func(r *booking.BookRequest) { r.Booker = &booking.Person{Name: "이", Phone: "+821012345679"} },
		}
		for what, f := range change {
			req := person("id-1", "g2")
			f(&req)
			_, err := w.svc.Book(t.Context(), w.call(), req)
			r := refusal(t, err, booking.ErrAlreadyBooked)
			r.ServerTime = time.Time{}
			if want := (&booking.Refusal{Kind: booking.ErrAlreadyBooked, ProgrammeID: "covid"}); !reflect.DeepEqual(r, want) {
				t.Errorf("another %s: the refusal tells more than that: %+v", what, r)
			}
		}
		_, err = w.svc.Book(t.Context(), w.callAs(w.other, "k", "b"), person("id-1", "g2"))
		refusal(t, err, booking.ErrAlreadyBooked)
		// A repeat is a repeat also when the window has closed and the key has expired.
		w.clock.Set(opening.Add(20 * 24 * time.Hour))
		again, err = w.svc.Book(t.Context(), w.callAs(w.client, "key-1", "other"), person("id-1", "g2"))
		if err != nil || again.Created || again.Reservation.ID != first.ID {
			t.Errorf("repeat after the key expired: %+v, %v", again, err)
		}
		w.audit()
	})
}

func TestCancel(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.book("id-1", "g1")
		_, err := w.svc.Book(t.Context(), w.call(), person("id-2", "g1"))
		refusal(t, err, booking.ErrSlotFull)
		_, err = w.svc.Cancel(t.Context(), w.callAs(w.other, "k", "b"), r.ID, 0)
		refusal(t, err, booking.ErrNotFound)
		_, err = w.svc.Cancel(t.Context(), w.call(), "no id", 0)
		refusal(t, err, booking.ErrNotFound)
		_, err = w.svc.Cancel(t.Context(), w.call(), r.ID, 7)
		if f := refusal(t, err, booking.ErrVersionMismatch); f.Version != 1 {
			t.Errorf("mismatch says version %d", f.Version)
		}
		w.clock.Set(noon.Add(time.Minute))
		call := w.callAs(w.client, "cancel", "body")
		c, err := w.svc.Cancel(t.Context(), call, r.ID, 1)
		if err != nil || c.Reservation.Status != booking.StatusCancelled || c.Reservation.Version != 2 ||
			!c.Reservation.UpdatedAt.After(c.Reservation.CreatedAt) {
			t.Fatalf("cancel: %+v, %v", c, err)
		}
		read, err := w.svc.Get(t.Context(), w.client, r.ID)
		if d := cmp.Diff(c.Reservation, read); d != "" || err != nil {
			t.Errorf("Get differs: %v\n%s", err, d)
		}
		replay, err := w.svc.Cancel(t.Context(), call, r.ID, 1)
		if d := cmp.Diff(c.Reservation, replay.Reservation); d != "" || err != nil || !replay.Replayed {
			t.Errorf("replay: %+v %v\n%s", replay, err, d)
		}
		if _, err := w.svc.Cancel(t.Context(), call, w.book("id-3", "g2").ID, 1); !errors.Is(err, booking.ErrKeyReused) {
			t.Errorf("the same key for another reservation: %v", err)
		}
		_, err = w.svc.Cancel(t.Context(), w.call(), r.ID, 0)
		refusal(t, err, booking.ErrNotChangeable)
		again := w.book("id-1", "g1") // the place and the person are free again
		if again.ID == r.ID {
			t.Error("the cancelled reservation came back")
		}
		w.clock.Set(again.Slot.StartsAt)
		_, err = w.svc.Cancel(t.Context(), w.call(), again.ID, 0)
		refusal(t, err, booking.ErrNotChangeable)
		w.audit()
	})
}

// TestOneBatch holds the writer back so that a cancellation and bookings meet in one transaction, in order.
func TestOneBatch(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.book("id-1", "g1")
		release := w.hold("g4")
		var wg sync.WaitGroup
		go1 := func(f func() error) <-chan error {
			done := make(chan error, 1)
			before := w.svc.Waiting()
			wg.Go(func() { done <- f() })
			w.waitFor(func() bool { return w.svc.Waiting() > before }) // the queue is the order of arrival
			return done
		}
		book := func(id string) func() error {
			return func() error { _, err := w.svc.Book(t.Context(), w.call(), person(id, "g1")); return err }
		}
		early := go1(book("id-2"))
		cancel := go1(func() error { _, err := w.svc.Cancel(t.Context(), w.call(), r.ID, 0); return err })
		again := go1(book("id-1"))
		late := go1(book("id-3"))
		release()
		wg.Wait()
		refusal(t, <-early, booking.ErrSlotFull)
		if err := <-cancel; err != nil {
			t.Errorf("cancel: %v", err)
		}
		if err := <-again; err != nil {
			t.Errorf("the freed place: %v", err)
		}
		refusal(t, <-late, booking.ErrSlotFull)
		w.audit()
	})
}

// waitFor looks again and again until what it waits for is so.
func (w *world) waitFor(so func() bool) {
	for !so() && w.t.Context().Err() == nil {
		runtime.Gosched()
	}
}

// hold keeps the writer busy until the returned function is called: it holds the lock that a booking of slot waits for.
func (w *world) hold(slot string) func() {
	w.t.Helper()
	tx, err := w.db.Pool().Beginx()
	if err != nil {
		w.t.Fatal(err)
	}
	statements := []string{"UPDATE slot SET taken = taken WHERE id = '" + slot + "'"}
	if w.db.Dialect() == sqldb.Postgres { // the server would undo what stands still for ten seconds
		statements = append(statements, "SET LOCAL idle_in_transaction_session_timeout = 0")
	}
	for _, s := range statements {
		if _, err := tx.Exec(s); err != nil {
			w.t.Fatal(err)
		}
	}
	for len(w.began) > 0 {
		<-w.began
	}
	done := make(chan error, 1)
	go func() {
		_, err := w.svc.Book(context.Background(), w.callAs(w.client, "hold", ""), person("holder", slot))
		done <- err
	}()
	<-w.began
	return func() {
		_ = tx.Rollback()
		if err := <-done; err != nil {
			w.t.Errorf("the held booking: %v", err)
		}
	}
}

func TestGuiltyRequestAlone(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		trigger := `CREATE TRIGGER guilty BEFORE INSERT ON reservation WHEN NEW.reference = 'guilty'
			BEGIN SELECT RAISE(ABORT, 'guilty'); END`
		if w.db.Dialect() == sqldb.Postgres {
			trigger = `CREATE FUNCTION guilty() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'guilty'; END $$;
				CREATE TRIGGER guilty BEFORE INSERT ON reservation FOR EACH ROW WHEN (NEW.reference = 'guilty')
				EXECUTE FUNCTION guilty()`
		}
		if _, err := w.db.Pool().Exec(trigger); err != nil {
			t.Fatal(err)
		}
		release := w.hold("g5")
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				req := person(fmt.Sprintf("id-%d", i), "g4")
				if i == 3 {
					req.Reference = "guilty"
				}
				_, errs[i] = w.svc.Book(t.Context(), w.call(), req)
			})
		}
		w.waitFor(func() bool { return w.svc.Waiting() == len(errs) })
		release()
		wg.Wait()
		for i, err := range errs {
			if (i == 3) != (err != nil) {
				t.Errorf("request %d: %v", i, err)
			}
		}
		w.audit()
	})
}

func TestAlternatives(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		w.book("id-1", "g1")
		w.book("id-2", "g3")
		_, err := w.svc.Book(t.Context(), w.call(), person("id-3", "g1"))
		f := refusal(t, err, booking.ErrSlotFull)
		var got []string
		for _, s := range f.Alternatives {
			got = append(got, s.ID)
		}
		if d := cmp.Diff([]string{"g3", "g2", "g4", "m1", "m2"}, got); d != "" {
			t.Errorf("alternatives:\n%s", d)
		}
		if f.Alternatives[0].StartsAt.Format(time.RFC3339) != "2021-07-26T10:20:00+09:00" {
			t.Errorf("not in the programme's zone: %v", f.Alternatives[0])
		}
		w.book("id-4", "g2")
		w.book("id-5", "g2")
		_, err = w.svc.Book(t.Context(), w.call(), person("id-3", "g1"))
		for _, s := range refusal(t, err, booking.ErrSlotFull).Alternatives {
			if s.ID == "g2" {
				t.Error("a slot that has become full is offered")
			}
		}
	})
}

func TestStopFinishesWhatWasTaken(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		svc := booking.NewService(w.db, w.ids, booking.Options{})
		var wg sync.WaitGroup
		var booked atomic.Int64
		for i := range 10 {
			wg.Go(func() {
				_, err := svc.Book(t.Context(), w.call(), person(fmt.Sprint(i), "g4"))
				if err == nil {
					booked.Add(1)
				} else if !errors.Is(err, booking.ErrOverloaded) {
					t.Errorf("book: %v", err)
				}
			})
		}
		svc.Stop()
		svc.Stop()
		wg.Wait()
		if _, err := svc.Book(t.Context(), w.call(), person("late", "g4")); !errors.Is(err, booking.ErrOverloaded) {
			t.Errorf("after Stop: %v", err)
		}
		if n := w.count("SELECT taken FROM slot WHERE id = 'g4'"); int64(n) != booked.Load() {
			t.Errorf("%d taken, %d answered", n, booked.Load())
		}
	})
}

func TestAppointments(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		req := person("id-1", "g2")
		req.Booker = &booking.Person{Name: "홍판서", Phone: "+821099998888"}
		a, err := w.svc.Book(t.Context(), w.call(), req)
		if err != nil {
			t.Fatal(err)
		}
		b := w.cancel(w.book("id-2", "m1").ID)
		for _, lock := range []bool{true, false} {
			run := w.db.Read
			if lock {
				run = w.db.Write
			}
			var got map[string]booking.Appointment
			err := run(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
				got, err = booking.Appointments(ctx, tx, []string{a.Reservation.ID, b.ID, "no id", a.Reservation.ID}, lock)
				return err
			})
			if err != nil || len(got) != 2 {
				t.Fatalf("lock %v: %d found, %v", lock, len(got), err)
			}
			first := got[a.Reservation.ID]
			if first.SiteKo != "강남구보건소" || first.TagEn != "Vaccine" || first.ProgrammeKo != "코로나19 예방접종" ||
				first.BookerPhone != personal.Phone("+821099998888") || first.Version != 1 || first.StartsAt.Format("15:04") != "10:40" {
				t.Errorf("appointment %+v", first)
			}
			if got[b.ID].Status != booking.StatusCancelled || got[b.ID].Version != 2 {
				t.Errorf("cancelled: %+v", got[b.ID])
			}
		}
	})
}
