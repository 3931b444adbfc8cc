-- +goose Up

-- Who answers residents. folded is the name as it is compared; password is a PHC string (argon2id). What changed_at says ends
-- the sessions that began before it.
CREATE TABLE staff (
    id          uuid        NOT NULL PRIMARY KEY,
    name        text        NOT NULL,
    folded      text        NOT NULL UNIQUE,
    role        text        NOT NULL CHECK (role IN ('viewer', 'agent', 'supervisor', 'admin')),
    password    text        NOT NULL,
    created_at  timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    disabled_at timestamptz
);

-- token is a hash: who reads this table can sign in as nobody.
CREATE TABLE staff_session (
    token      text        NOT NULL PRIMARY KEY,
    data       bytea       NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX staff_session_by_expiry ON staff_session (expires_at);

-- What staff did and whom they looked at. Append-only; each row's hash covers the row and the hash before it. The head is
-- locked by who appends, so that there are no gaps and no forks.
CREATE TABLE staff_trail (
    seq            bigint      NOT NULL PRIMARY KEY,
    at             timestamptz NOT NULL,
    actor          text        NOT NULL,
    action         text        NOT NULL,
    reservation_id uuid,
    detail         text        NOT NULL,
    previous       bytea       NOT NULL,
    hash           bytea       NOT NULL
);
CREATE INDEX staff_trail_by_reservation ON staff_trail (reservation_id, seq) WHERE reservation_id IS NOT NULL;
CREATE TABLE staff_trail_head (
    id   integer NOT NULL PRIMARY KEY CHECK (id = 1),
    seq  bigint  NOT NULL,
    hash bytea   NOT NULL
);

-- +goose StatementBegin
CREATE FUNCTION staff_trail_is_append_only() RETURNS trigger AS $$
BEGIN
    RAISE EXCEPTION 'staff_trail is append-only';
END
$$ LANGUAGE plpgsql;
-- +goose StatementEnd
CREATE TRIGGER staff_trail_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON staff_trail
    FOR EACH STATEMENT EXECUTE FUNCTION staff_trail_is_append_only();

-- What staff wrote down about a reservation.
CREATE TABLE staff_note (
    id             uuid        NOT NULL PRIMARY KEY,
    reservation_id uuid        NOT NULL,
    at             timestamptz NOT NULL,
    author         text        NOT NULL,
    note           text        NOT NULL
);
CREATE INDEX staff_note_by_reservation ON staff_note (reservation_id, at);

-- Callers are found by the name or the reference that they give.
CREATE INDEX reservation_by_name ON reservation (name);
CREATE INDEX reservation_by_any_reference ON reservation (reference) WHERE reference IS NOT NULL;
