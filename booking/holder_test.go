package booking_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ansim/booking"
	"ansim/schema/personal"
	"ansim/schema/sqldb"
)

func (w *world) resident(r booking.Reservation) booking.Client {
	w.t.Helper()
	found, err := w.svc.Lookup(w.t.Context(), booking.Proof{Code: r.Code, BirthDates: []string{"1867-03-21", r.BirthDate}})
	if err != nil || found.ID != r.ID {
		w.t.Fatalf("look up: %s, %v", found.ID, err)
	}
	return found.Holder
}

// Who has the code and the birth date may change that reservation, and none beside it.
func TestHolderMayChangeTheirOwn(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		mine, other := w.book("id-1", "g1"), w.book("id-2", "m1")
		w.notify(mine.ID, "delivered")
		w.notify(other.ID, "delivered")
		w.clock.Set(noon.Add(2 * time.Minute))
		me := w.resident(mine)
		as := func(key string) booking.Call { return w.callAs(me, key, key) }
		if _, err := w.svc.Cancel(t.Context(), as("k1"), other.ID, 0); !errors.Is(err, booking.ErrNotFound) {
			t.Errorf("cancelled another's: %v", err)
		}
		if _, err := w.svc.Reschedule(t.Context(), as("k2"), other.ID, "g1", 0); !errors.Is(err, booking.ErrNotFound) {
			t.Errorf("moved another's: %v", err)
		}
		if _, err := w.svc.Resend(t.Context(), as("k3"), order(other.ID)); !errors.Is(err, booking.ErrNotFound) {
			t.Errorf("texts of another's: %v", err)
		}
		if _, err := w.svc.Get(t.Context(), me, other.ID); !errors.Is(err, booking.ErrNotFound) {
			t.Errorf("read another's: %v", err)
		}
		if found, err := w.svc.Search(t.Context(), me, other.Code, ""); err != nil || len(found) > 0 {
			t.Errorf("found another's: %d, %v", len(found), err)
		}
		if got, err := w.svc.Get(t.Context(), me, mine.ID); err != nil || got.ID != mine.ID {
			t.Errorf("their own: %v", err)
		}
		if _, err := w.svc.Resend(t.Context(), as("k4"), order(mine.ID)); err != nil {
			t.Errorf("their own texts: %v", err)
		}
		if n := w.count("SELECT COUNT(*) FROM resend WHERE reservation_id = ? AND requested_by = 'resident'", mine.ID); n != 1 {
			t.Errorf("%d resends of the resident", n)
		}
		if got, err := w.svc.Reschedule(t.Context(), as("k5"), mine.ID, "m1", 0); err != nil || got.Reservation.Slot.ID != "m1" {
			t.Errorf("move: %v", err)
		}
		if got, err := w.svc.Cancel(t.Context(), as("k6"), mine.ID, 0); err != nil || got.Reservation.Status != booking.StatusCancelled {
			t.Errorf("cancel: %v", err)
		}
		w.audit()
	})
}

// Who says that the code is lost gets the text at the number on the reservation, a few times a day, and nobody else does.
func TestSendCode(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.bookTwo("id-1", "g1")
		w.book("id-2", "m1") // another of that name, birth date and number: a household's, or a second identity
		w.notify(r.ID, "delivered")
		who := booking.LostCode{Name: personal.Name(r.Name.Reveal()), BirthDates: []string{"1867-03-21", r.BirthDate}, Phone: r.Phone}
		ask := func(who booking.LostCode) int {
			t.Helper()
			n, err := w.svc.SendCode(t.Context(), who)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := ask(who); n != 0 {
			t.Errorf("%d texts within the cool-down", n)
		}
		now := noon
		later := func(d time.Duration) { now = now.Add(d); w.clock.Set(now) }
		later(2 * time.Minute)
		for i, wrong := range []booking.LostCode{
			{Name: "홍길순", BirthDates: who.BirthDates, Phone: who.Phone},
			{Name: who.Name, BirthDates: []string{"1970-01-01"}, Phone: who.Phone},
			{Name: who.Name, BirthDates: who.BirthDates, Phone: "+821012340000"},
			{Name: who.Name, Phone: who.Phone},
		} {
			if n := ask(wrong); n != 0 {
				t.Errorf("wrong %d: %d texts", i, n)
			}
		}
		spaced := who
		spaced.Name = personal.Name(fmt.Sprintf("%c %s", []rune(r.Name.Reveal())[0], string([]rune(r.Name.Reveal())[1:])))
		if n := ask(spaced); n != 1 { // the other one's text was never begun, so it is pending
			t.Errorf("%d texts", n)
		}
		to := func(recipient string) int {
			return w.count("SELECT COUNT(*) FROM outbox WHERE reservation_id = ? AND resend > 0 AND recipients = ?", r.ID, recipient)
		}
		if to("resident") != 1 || to("booker") != 0 {
			t.Errorf("to the resident %d, to the booker %d", to("resident"), to("booker"))
		}
		child := who
		child.Phone = "+821099998888"
		later(2 * time.Minute)
		w.notify(r.ID, "delivered")
		if n := ask(child); n != 1 || to("booker") != 1 {
			t.Errorf("%d texts to who booked", n)
		}
		for range 4 {
			later(2 * time.Minute)
			w.notify(r.ID, "delivered")
			ask(who)
		}
		if n := w.count("SELECT COUNT(*) FROM resend WHERE reservation_id = ?", r.ID); n != 3 {
			t.Errorf("%d resends in a day, at most 3 are wanted", n)
		}
		later(25 * time.Hour)
		if n := ask(who); n != 1 {
			t.Errorf("%d texts on the next day", n)
		}
		w.audit()
	})
}

func TestFreeSites(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		names := func(part string, limit int) (ids []string) {
			t.Helper()
			sites, err := w.svc.FreeSites(t.Context(), "covid", part, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range sites {
				ids = append(ids, s.ID)
			}
			return ids
		}
		for part, want := range map[string]string{"": "[gangnam mapo]", "강남구 보건": "[gangnam]", "MAPO": "[mapo]", "%": "[]", "_": "[]", "!": "[]"} {
			if got := fmt.Sprint(names(part, 10)); got != want {
				t.Errorf("%q: %s, want %s", part, got, want)
			}
		}
		if got := names("", 1); len(got) != 1 {
			t.Errorf("%v", got)
		}
		if err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE slot SET taken = capacity WHERE site_id = 'mapo'")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(names("", 10)); got != "[gangnam]" {
			t.Errorf("with one full: %s", got)
		}
		page, err := w.svc.Slots(t.Context(), booking.SlotQuery{Programme: "covid", Free: true, Limit: 100})
		if err != nil || len(page.Slots) == 0 {
			t.Fatalf("free slots: %d, %v", len(page.Slots), err)
		}
		for _, s := range page.Slots {
			if s.Remaining == 0 || s.SiteID == "mapo" {
				t.Errorf("not free: %+v", s)
			}
		}
	})
}

// Staff find whomever somebody asks about, and may change every client's reservations, under their own name.
func TestStaff(t *testing.T) {
	each(t, everybody, func(t *testing.T, w *world) {
		r := w.bookTwo("id-1", "g1")
		w.book("id-2", "m1")
		w.notify(r.ID, "delivered")
		found := func(words string) (ids []string) {
			t.Helper()
			all, err := booking.Find(t.Context(), w.db, words, 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range all {
				ids = append(ids, f.ID)
			}
			return ids
		}
		for words, want := range map[string]int{r.Code: 1, booking.FormatCode(r.Code): 1, r.Phone.Reveal(): 2, "010-9999-8888": 1, r.Name.Reveal(): 2, "": 0, "nobody": 0,
			"\x00": 0, "%": 0, "' OR 1=1 --": 0} {
			if got := found(words); len(got) != want {
				t.Errorf("%q finds %d, want %d", words, len(got), want)
			}
		}
		if all, err := booking.Find(t.Context(), w.db, r.Name.Reveal(), 1); err != nil || len(all) != 1 || all[0].ID == r.ID {
			t.Errorf("at most one, the newest: %d, %v", len(all), err)
		}
		if _, err := booking.Look(t.Context(), w.db, "x"); !errors.Is(err, booking.ErrNotFound) {
			t.Error(err)
		}
		if got, err := booking.Look(t.Context(), w.db, r.ID); err != nil || got.Code != r.Code || got.Site.Ko != "강남구보건소" {
			t.Errorf("%+v, %v", got, err)
		}
		w.clock.Set(noon.Add(2 * time.Minute))
		kim := booking.Staff("01a21d8e-3ffe-735f-a8ca-fd6f540b308e", "kim")
		if _, err := w.svc.Resend(t.Context(), w.callAs(kim, "k1", "k1"), order(r.ID)); err != nil {
			t.Error(err)
		}
		if n := w.count("SELECT COUNT(*) FROM resend WHERE reservation_id = ? AND requested_by = 'staff:kim'", r.ID); n != 1 {
			t.Errorf("%d resends by staff", n)
		}
		if got, err := w.svc.Cancel(t.Context(), w.callAs(kim, "k2", "k2"), r.ID, 1); err != nil || got.Reservation.Status != booking.StatusCancelled {
			t.Error(err)
		}
		w.audit()
	})
}
