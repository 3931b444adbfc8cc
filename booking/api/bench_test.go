package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ansim/booking"
	"ansim/schema/personal"
)

// nothing answers at once: what is measured with it is this package.
type nothing struct{}

func (nothing) Book(_ context.Context, _ booking.Call, req booking.BookRequest) (booking.Reply, error) {
	return booking.Reply{Created: true, Reservation: sample(req)}, nil
}

func (nothing) Cancel(context.Context, booking.Call, string, int) (booking.Reply, error) {
	return booking.Reply{Reservation: sample(booking.BookRequest{})}, nil
}

func (nothing) Reschedule(context.Context, booking.Call, string, string, int) (booking.Reply, error) {
	return booking.Reply{Reservation: sample(booking.BookRequest{})}, nil
}

func (nothing) Correct(context.Context, booking.Call, string, booking.Correction, int) (booking.Reply, error) {
	return booking.Reply{Reservation: sample(booking.BookRequest{})}, nil
}

func (nothing) Resend(context.Context, booking.Call, booking.ResendOrder) (booking.Reply, error) {
	return booking.Reply{Reservation: sample(booking.BookRequest{}), Resent: &booking.Resent{}}, nil
}

func (nothing) Get(context.Context, booking.Client, string) (booking.Reservation, error) {
	return sample(booking.BookRequest{}), nil
}

func (nothing) Search(context.Context, booking.Client, string, string) ([]booking.Reservation, error) {
	return nil, nil
}

func (nothing) Lookup(context.Context, booking.Proof) (booking.Appointed, error) {
	return booking.Appointed{Reservation: sample(booking.BookRequest{})}, nil
}

func (nothing) Programmes(context.Context) (booking.Catalogue, error) {
	return booking.Catalogue{}, nil
}

func (nothing) Slots(context.Context, booking.SlotQuery) (booking.SlotPage, error) {
	return booking.SlotPage{}, nil
}

func (nothing) Authenticate(context.Context, string) (booking.Client, error) {
	return booking.Client{KeyID: "k", Scopes: []string{"book", "read", "resend"}}, nil
}

func sample(req booking.BookRequest) booking.Reservation {
	at := time.Date(2021, 7, 26, 10, 30, 0, 0, time.FixedZone("KST", 9*3600))
	return booking.Reservation{ID: "0190d3c4-0000-7000-8000-000000000001", Code: "K7Q293TX4M", Version: 1,
		Status: booking.StatusConfirmed, Slot: booking.Slot{ID: req.SlotID, SiteID: "gangnam", StartsAt: at},
		Name: req.Name, Phone: req.Phone, Booker: req.Booker, Reference: req.Reference, CreatedAt: at, UpdatedAt: at}
}

const goodBody = `{"slot_id": "gangnam-0726-1030", "resident": {"identity": "ci-8f14e45f", "name": "홍길동",
	"birth_date": "1967-03-21", "phone": "+821012345678"}, "booked_by": {"name": "홍보람", "phone": "+821087654321"},
	"language": "en", "reference": "A-1029"}`

// BenchmarkBook is a booking through this package, without a network and without a database; BenchmarkPlain is a bare
// handler that does encoding/json both ways. The difference is what keys, limits, strictness and problems cost.
func BenchmarkBook(b *testing.B) {
	bench(b, (&server{service: nothing{}, keys: nothing{}}).handler())
}

func BenchmarkPlain(b *testing.B) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/reservations", func(w http.ResponseWriter, r *http.Request) {
		var body bookBody
		if json.NewDecoder(r.Body).Decode(&body) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		reply, _ := nothing{}.Book(r.Context(), booking.Call{}, booking.BookRequest{SlotID: body.SlotID,
			Name: personal.Name(body.Resident.Name), Phone: personal.Phone(body.Resident.Phone), Reference: body.Reference})
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(reservationOf(reply.Reservation, confirmationAfter(reply.Reservation)))
	})
	bench(b, mux)
}

func bench(b *testing.B, h http.Handler) {
	b.ReportAllocs()
	body := []byte(goodBody)
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/v1/reservations", nil)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header["Authorization"] = []string{"Bearer ansim_x"}
		r.Header["Content-Type"] = []string{"application/json"}
		r.Header["Idempotency-Key"] = []string{"key-1"}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusCreated {
			b.Fatal(w.Code, strings.TrimSpace(w.Body.String()))
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	body := []byte(goodBody)
	for b.Loop() {
		if _, _, err := parseJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadBook(b *testing.B) {
	b.ReportAllocs()
	body := []byte(goodBody)
	for b.Loop() {
		if _, _, err := readBook(body, time.Unix(1.7e9, 0)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPhone(b *testing.B) {
	for b.Loop() {
		if _, err := booking.NormalizePhone("+821012345678"); err != nil {
			b.Fatal(err)
		}
	}
}
