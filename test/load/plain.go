package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"

	"ansim/booking"
	"ansim/booking/api"
	"ansim/schema/sqldb"
)

// plain is a process that books as programs usually do: each request is a transaction of its own, which locks the slot, looks
// whether it may, writes the rows, and commits. It stores what ansim stores, and leaves out the checks that cost it least.
// Its orders are the database's URL.
func plain() error {
	return listenWith(func(ctx context.Context, db *sqldb.DB) (http.Handler, func(), error) {
		var key string
		if err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			return tx.Get(ctx, &key, "SELECT CAST(id AS text) FROM api_key")
		}); err != nil {
			return nil, nil, err
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var req struct {
				SlotID   string `json:"slot_id"`
				Language string
				Resident struct {
					Identity, Name, Phone string
					BirthDate             string `json:"birth_date"`
				}
			}
			if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
				w.WriteHeader(http.StatusUnprocessableEntity)
				return
			}
			id, event := uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
			code, identity := booking.FormatCode(id[26:]), sha256.Sum256([]byte(req.Resident.Identity))
			err := db.Write(r.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return plainly(ctx, tx, []any{id, code, req.SlotID, key, identity[:], req.Resident.Name, req.Resident.BirthDate, req.Resident.Phone,
					req.Language}, event, r.Header.Get("Idempotency-Key"))
			})
			if err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(map[string]string{"id": id, "code": code})
		}), func() {}, nil
	})
}

// plainly is the transaction. row is the reservation's id, code, slot, key, identity, name, birth date, phone and language.
func plainly(ctx context.Context, tx *sqldb.Tx, row []any, event, key string) error {
	var slot struct {
		Programme string     `db:"programme_id"`
		Taken     int        `db:"taken"`
		Capacity  int        `db:"capacity"`
		Opens     sqldb.Time `db:"opens_at"`
		Closes    sqldb.Time `db:"closes_at"`
	}
	var seen int
	if err := tx.Get(ctx, &seen, "SELECT COUNT(*) FROM idempotency_key WHERE api_key_id = ? AND route = 'POST' AND key = ?", row[3], key); err != nil || seen > 0 {
		return errors.Join(errors.New("a repeat"), err)
	}
	if err := tx.Get(ctx, &slot, `SELECT s.programme_id, s.taken, s.capacity, p.opens_at, p.closes_at FROM slot s
		JOIN programme p ON p.id = s.programme_id WHERE s.id = ? FOR UPDATE OF s`, row[2]); err != nil {
		return err
	}
	now := time.Now()
	if slot.Taken >= slot.Capacity || now.Before(slot.Opens.Time) || now.After(slot.Closes.Time) {
		return errors.New("full or closed")
	}
	for _, s := range []struct {
		statement string
		args      []any
	}{
		{`INSERT INTO reservation (id, code, slot_id, api_key_id, identity_hash, name, birth_date, phone, language, programme_id, version, status,
			created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 'confirmed', ?, ?)`, append(row, slot.Programme, sqldb.At(now), sqldb.At(now))},
		{"UPDATE slot SET taken = taken + 1 WHERE id = ?", []any{row[2]}},
		{`INSERT INTO idempotency_key (api_key_id, route, key, fingerprint, status, body, reservation_id, created_at, expires_at)
			VALUES (?, 'POST', ?, ?, 201, ?, ?, ?, ?)`, []any{row[3], key, row[4], row[4], row[0], sqldb.At(now), sqldb.At(now.AddDate(0, 0, 3))}},
		{`INSERT INTO outbox (event_id, type, reservation_id, version, recipients, created_at)
			VALUES (?, 'ansim.reservation.booked.v1', ?, 1, 'resident', ?)`, []any{event, row[0], sqldb.At(now)}},
	} {
		if _, err := tx.Exec(ctx, s.statement, s.args...); err != nil {
			return err
		}
	}
	return nil
}

// bookings is a process with ansim's API and nothing else, for databases that only a whole service may use. Its orders are the
// database's URL.
func bookings() error {
	return listenWith(func(ctx context.Context, db *sqldb.DB) (http.Handler, func(), error) {
		ids, err := booking.OpenIdentities(ctx, db, make([]byte, 32))
		if err != nil {
			return nil, nil, err
		}
		service, keys := booking.NewService(db, ids, booking.Options{}), booking.NewKeys(db, nil)
		return api.New(api.Options{Service: service, Keys: keys}), func() { service.Stop(); keys.Stop() }, nil
	})
}

// listenWith reads a database's URL from the orders and serves until the end what build makes of it.
func listenWith(build func(context.Context, *sqldb.DB) (http.Handler, func(), error)) error {
	var url string
	over, err := orders(&url)
	if err != nil {
		return err
	}
	ctx := context.Background()
	db, err := sqldb.Open(ctx, url, sqldb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	handler, stop, err := build(ctx, db)
	if err != nil {
		return err
	}
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	if err := say(address{fmt.Sprintf("http://%s", l.Addr())}); err != nil {
		return err
	}
	<-over
	return nil
}
