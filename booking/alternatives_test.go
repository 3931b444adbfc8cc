package booking_test

import (
	"fmt"
	"strings"
	"testing"

	"ansim/booking"
)

// Those who are refused because a slot is full are not all sent to the same few others: whoever takes the first that was offered
// mostly finds a place there, also while others give their places back.
func TestAlternativesAreSpread(t *testing.T) {
	var file strings.Builder
	file.WriteString(head + `
sites: [{id: x, name: {ko: 가, en: A}}, {id: y, name: {ko: 나, en: B}}]
slots:
  - {id: hot, site: x, starts_at: 2021-07-26T10:00:00+09:00, capacity: 1}
  - {id: given-back, site: x, starts_at: 2021-08-26T10:00:00+09:00, capacity: 1}
`)
	const slots, people = 40, 60
	for i := range slots {
		fmt.Fprintf(&file, "  - {id: s%02d, site: %s, starts_at: 2021-07-27T%02d:%02d:00+09:00, capacity: 2}\n", i, []string{"x", "y"}[i%2], 9+i/6, i%6*10)
	}
	each(t, file.String(), func(t *testing.T, w *world) {
		w.book("first", "hot")
		firsts := map[string]int{}
		for i := range people {
			_, err := w.svc.Book(t.Context(), w.call(), person(fmt.Sprint("late-", i), "hot"))
			offered := refusal(t, err, booking.ErrSlotFull).Alternatives
			if len(offered) != 6 {
				t.Fatalf("%d are offered", len(offered))
			}
			firsts[offered[i%len(offered)].ID]++
			w.cancel(w.book("other", "given-back").ID)
		}
		in := 0
		for _, n := range firsts {
			in += min(n, 2)
		}
		if in < people*4/5 {
			t.Errorf("of %d who were refused %d find a place where they were sent: %v", people, in, firsts)
		}
		w.audit()
	})
}
