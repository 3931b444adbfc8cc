-- +goose Up

-- Who answers residents. folded is the name as it is compared; password is a PHC string (argon2id). What changed_at says ends
-- the sessions that began before it.
CREATE TABLE staff (
    id          text        NOT NULL PRIMARY KEY,
    name        text        NOT NULL,
    folded      text        NOT NULL UNIQUE,
    role        text        NOT NULL CHECK (role IN ('viewer', 'agent', 'supervisor', 'admin')),
    password    text        NOT NULL,
    created_at  text        NOT NULL,
    changed_at  text        NOT NULL,
    disabled_at text
) STRICT;

-- token is a hash: who reads this table can sign in as nobody.
CREATE TABLE staff_session (
    token      text        NOT NULL PRIMARY KEY,
    data       blob        NOT NULL,
    expires_at text        NOT NULL
) STRICT;
CREATE INDEX staff_session_by_expiry ON staff_session (expires_at);

-- What staff did and whom they looked at. Append-only; each row's hash covers the row and the hash before it. The head is
-- locked by who appends, so that there are no gaps and no forks.
CREATE TABLE staff_trail (
    seq            integer     NOT NULL PRIMARY KEY,
    at             text        NOT NULL,
    actor          text        NOT NULL,
    action         text        NOT NULL,
    reservation_id text,
    detail         text        NOT NULL,
    previous       blob        NOT NULL,
    hash           blob        NOT NULL
) STRICT;
CREATE INDEX staff_trail_by_reservation ON staff_trail (reservation_id, seq) WHERE reservation_id IS NOT NULL;
CREATE TABLE staff_trail_head (
    id   integer NOT NULL PRIMARY KEY CHECK (id = 1),
    seq  integer NOT NULL,
    hash blob    NOT NULL
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER staff_trail_keep_rows BEFORE DELETE ON staff_trail
BEGIN
    SELECT RAISE(ABORT, 'staff_trail is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER staff_trail_keep_words BEFORE UPDATE ON staff_trail
BEGIN
    SELECT RAISE(ABORT, 'staff_trail is append-only');
END;
-- +goose StatementEnd

-- What staff wrote down about a reservation.
CREATE TABLE staff_note (
    id             text        NOT NULL PRIMARY KEY,
    reservation_id text        NOT NULL,
    at             text        NOT NULL,
    author         text        NOT NULL,
    note           text        NOT NULL
) STRICT;
CREATE INDEX staff_note_by_reservation ON staff_note (reservation_id, at);

-- Callers are found by the name or the reference that they give.
CREATE INDEX reservation_by_name ON reservation (name);
CREATE INDEX reservation_by_any_reference ON reservation (reference) WHERE reference IS NOT NULL;
