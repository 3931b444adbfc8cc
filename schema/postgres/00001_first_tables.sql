-- +goose Up

-- One row: what identifies this installation. secret_check is a keyed hash of a constant; a process whose
-- ANSIM_SECRET gives another value is refused, since two secrets would let one person book twice.
CREATE TABLE installation (
    id           integer     NOT NULL PRIMARY KEY CHECK (id = 1),
    secret_check bytea       NOT NULL,
    created_at   timestamptz NOT NULL
);

-- booking ---------------------------------------------------------------------------------------------------------

CREATE TABLE api_key (
    id         uuid        NOT NULL PRIMARY KEY,
    name       text        NOT NULL UNIQUE,
    hash       bytea       NOT NULL UNIQUE,
    scopes     text        NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE TABLE programme (
    id         text        NOT NULL PRIMARY KEY,
    name_ko    text        NOT NULL,
    name_en    text        NOT NULL,
    tag_ko     text        NOT NULL,
    tag_en     text        NOT NULL,
    time_zone  text        NOT NULL,
    opens_at   timestamptz NOT NULL,
    closes_at  timestamptz NOT NULL CHECK (closes_at > opens_at),
    applied_at timestamptz NOT NULL
);

CREATE TABLE programme_rule (
    programme_id text        NOT NULL REFERENCES programme (id),
    id           text        NOT NULL,
    position     integer     NOT NULL,
    born_from    text        NOT NULL,
    born_to      text        NOT NULL,
    opens_at     timestamptz NOT NULL,
    closes_at    timestamptz NOT NULL,
    PRIMARY KEY (programme_id, id)
);

CREATE TABLE site (
    id           text NOT NULL PRIMARY KEY,
    programme_id text NOT NULL REFERENCES programme (id),
    name_ko      text NOT NULL,
    name_en      text NOT NULL
);

CREATE TABLE slot (
    id           text        NOT NULL PRIMARY KEY,
    programme_id text        NOT NULL REFERENCES programme (id),
    site_id      text        NOT NULL REFERENCES site (id),
    starts_at    timestamptz NOT NULL,
    capacity     integer     NOT NULL,
    taken        integer     NOT NULL DEFAULT 0,
    CONSTRAINT slot_never_oversold CHECK (taken >= 0 AND taken <= capacity)
) WITH (fillfactor = 50);
CREATE INDEX slot_by_programme ON slot (programme_id, starts_at, id);

CREATE TABLE reservation (
    id            uuid        NOT NULL PRIMARY KEY,
    code          text        NOT NULL UNIQUE,
    programme_id  text        NOT NULL REFERENCES programme (id),
    slot_id       text        NOT NULL REFERENCES slot (id),
    api_key_id    uuid        NOT NULL REFERENCES api_key (id),
    version       integer     NOT NULL CHECK (version >= 1),
    status        text        NOT NULL CHECK (status IN ('confirmed', 'cancelled')),
    identity_hash bytea       NOT NULL,
    name          text        NOT NULL,
    birth_date    text        NOT NULL,
    phone         text        NOT NULL,
    language      text        NOT NULL CHECK (language IN ('ko', 'en')),
    booker_name   text,
    booker_phone  text,
    reference     text,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);
-- P5: nobody has two active reservations in a programme.
CREATE UNIQUE INDEX reservation_one_active ON reservation (programme_id, identity_hash) WHERE status = 'confirmed';
CREATE INDEX reservation_by_slot ON reservation (slot_id) WHERE status = 'confirmed';
CREATE INDEX reservation_by_reference ON reservation (api_key_id, reference) WHERE reference IS NOT NULL;

CREATE TABLE idempotency_key (
    api_key_id     uuid        NOT NULL,
    route          text        NOT NULL,
    key            text        NOT NULL,
    fingerprint    bytea       NOT NULL,
    status         integer     NOT NULL,
    body           bytea       NOT NULL,
    reservation_id uuid,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    PRIMARY KEY (api_key_id, route, key)
);
CREATE INDEX idempotency_key_by_expiry ON idempotency_key (expires_at);

-- outbox ----------------------------------------------------------------------------------------------------------

-- Append-only. txid is what the relay's cursor compares with its snapshot (see package outbox).
CREATE TABLE outbox (
    id             bigint      GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    event_id       uuid        NOT NULL UNIQUE,
    type           text        NOT NULL,
    reservation_id uuid        NOT NULL,
    version        integer     NOT NULL,
    recipients     text        NOT NULL,
    resend         integer     NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL,
    traceparent    text        NOT NULL DEFAULT '',
    txid           xid8        NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX outbox_by_txid ON outbox (txid, id);
CREATE INDEX outbox_by_reservation ON outbox (reservation_id);

-- One row a relay shard: who leads, until when, and up to where it has published. position is a pg_snapshot on
-- PostgreSQL and the last id on SQLite, as text.
CREATE TABLE outbox_relay (
    shard         text        NOT NULL PRIMARY KEY,
    epoch         bigint      NOT NULL,
    holder        text        NOT NULL,
    leased_until  timestamptz NOT NULL,
    position      text        NOT NULL,
    published     bigint      NOT NULL DEFAULT 0,
    updated_at    timestamptz NOT NULL
);

-- notifier --------------------------------------------------------------------------------------------------------

CREATE TABLE message (
    id             uuid        NOT NULL PRIMARY KEY,
    event_id       uuid        NOT NULL,
    reservation_id uuid        NOT NULL,
    version        integer     NOT NULL,
    kind           text        NOT NULL CHECK (kind IN ('confirmation', 'change', 'cancellation', 'reminder')),
    recipient      text        NOT NULL CHECK (recipient IN ('resident', 'booker')),
    resend         integer     NOT NULL DEFAULT 0,
    state          text        NOT NULL CHECK (state IN ('pending', 'sending', 'unknown', 'accepted', 'sent', 'delivered',
                                                         'undelivered', 'failed', 'held', 'suppressed')),
    reason         text        NOT NULL DEFAULT '',
    due_at         timestamptz NOT NULL,
    lease_token    text        NOT NULL DEFAULT '',
    attempts       integer     NOT NULL DEFAULT 0,
    failures       integer     NOT NULL DEFAULT 0,
    looks          integer     NOT NULL DEFAULT 0,
    looked_at      timestamptz,
    event_at       timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    accepted_at    timestamptz,
    delivered_at   timestamptz,
    CONSTRAINT message_once_per_event UNIQUE (event_id, recipient),
    CONSTRAINT message_once_per_text UNIQUE (reservation_id, kind, version, recipient, resend)
) WITH (fillfactor = 70);
-- Only what still moves is in this index, so claiming stays flat however many messages are finished.
CREATE INDEX message_due ON message (state, due_at, id) WHERE state IN ('pending', 'sending', 'unknown');

CREATE TABLE attempt (
    token         text        NOT NULL PRIMARY KEY,
    message_id    uuid        NOT NULL REFERENCES message (id),
    n             integer     NOT NULL,
    state         text        NOT NULL CHECK (state IN ('open', 'unknown', 'not_sent', 'rejected', 'accepted', 'sent',
                                                        'failed', 'undelivered', 'delivered')),
    body_hash     bytea       NOT NULL,
    provider_sid  text        UNIQUE,
    http_status   integer     NOT NULL DEFAULT 0,
    error_code    integer     NOT NULL DEFAULT 0,
    detail        text        NOT NULL DEFAULT '',
    started_at    timestamptz NOT NULL,
    unknown_at    timestamptz,
    finished_at   timestamptz,
    UNIQUE (message_id, n)
) WITH (fillfactor = 70);

-- What the provider said of an attempt after (or instead of) its answer. A replay changes nothing.
CREATE TABLE receipt (
    attempt_token text        NOT NULL REFERENCES attempt (token),
    provider_sid  text        NOT NULL,
    status        text        NOT NULL,
    error_code    integer     NOT NULL DEFAULT 0,
    source        text        NOT NULL CHECK (source IN ('callback', 'list')),
    received_at   timestamptz NOT NULL,
    PRIMARY KEY (attempt_token, provider_sid, status)
);

-- Events that the intake could not read: kept with their reason, so that the offset may move on and nothing is lost.
-- id is a hash of where it stood and what it held: a replay is the same row, and an event at the same place of a
-- recreated topic is another.
CREATE TABLE parked_event (
    id              text        NOT NULL PRIMARY KEY,
    topic           text        NOT NULL,
    topic_partition integer     NOT NULL,
    topic_offset    bigint      NOT NULL,
    headers         text        NOT NULL,
    body            bytea       NOT NULL,
    reason          text        NOT NULL,
    parked_at       timestamptz NOT NULL
);

-- Up to where in the outbox the sweeper has seen that every row has its messages; position is outbox.Settled's.
CREATE TABLE sweeper (
    id         integer     NOT NULL PRIMARY KEY CHECK (id = 1),
    position   text        NOT NULL,
    rescued    bigint      NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL
);
