-- +goose Up

-- One row: what identifies this installation. secret_check is a keyed hash of a constant; a process whose
-- ANSIM_SECRET gives another value is refused, since two secrets would let one person book twice.
CREATE TABLE installation (
    id           integer     NOT NULL PRIMARY KEY CHECK (id = 1),
    secret_check blob        NOT NULL,
    created_at   text        NOT NULL
) STRICT;

-- booking ---------------------------------------------------------------------------------------------------------

CREATE TABLE api_key (
    id         text        NOT NULL PRIMARY KEY,
    name       text        NOT NULL UNIQUE,
    hash       blob        NOT NULL UNIQUE,
    scopes     text        NOT NULL,
    created_at text        NOT NULL,
    revoked_at text
) STRICT;

CREATE TABLE programme (
    id         text        NOT NULL PRIMARY KEY,
    name_ko    text        NOT NULL,
    name_en    text        NOT NULL,
    tag_ko     text        NOT NULL,
    tag_en     text        NOT NULL,
    time_zone  text        NOT NULL,
    opens_at   text        NOT NULL,
    closes_at  text        NOT NULL CHECK (closes_at > opens_at),
    applied_at text        NOT NULL
) STRICT;

CREATE TABLE programme_rule (
    programme_id text        NOT NULL REFERENCES programme (id),
    id           text        NOT NULL,
    position     integer     NOT NULL,
    born_from    text        NOT NULL,
    born_to      text        NOT NULL,
    opens_at     text        NOT NULL,
    closes_at    text        NOT NULL,
    PRIMARY KEY (programme_id, id)
) STRICT;

CREATE TABLE site (
    id           text NOT NULL PRIMARY KEY,
    programme_id text NOT NULL REFERENCES programme (id),
    name_ko      text NOT NULL,
    name_en      text NOT NULL
) STRICT;

CREATE TABLE slot (
    id           text        NOT NULL PRIMARY KEY,
    programme_id text        NOT NULL REFERENCES programme (id),
    site_id      text        NOT NULL REFERENCES site (id),
    starts_at    text        NOT NULL,
    capacity     integer     NOT NULL,
    taken        integer     NOT NULL DEFAULT 0,
    CONSTRAINT slot_never_oversold CHECK (taken >= 0 AND taken <= capacity)
) STRICT;
CREATE INDEX slot_by_programme ON slot (programme_id, starts_at, id);

CREATE TABLE reservation (
    id            text        NOT NULL PRIMARY KEY,
    code          text        NOT NULL UNIQUE,
    programme_id  text        NOT NULL REFERENCES programme (id),
    slot_id       text        NOT NULL REFERENCES slot (id),
    api_key_id    text        NOT NULL REFERENCES api_key (id),
    version       integer     NOT NULL CHECK (version >= 1),
    status        text        NOT NULL CHECK (status IN ('confirmed', 'cancelled')),
    identity_hash blob        NOT NULL,
    name          text        NOT NULL,
    birth_date    text        NOT NULL,
    phone         text        NOT NULL,
    language      text        NOT NULL CHECK (language IN ('ko', 'en')),
    booker_name   text,
    booker_phone  text,
    reference     text,
    created_at    text        NOT NULL,
    updated_at    text        NOT NULL
) STRICT;
-- P5: nobody has two active reservations in a programme.
CREATE UNIQUE INDEX reservation_one_active ON reservation (programme_id, identity_hash) WHERE status = 'confirmed';
CREATE INDEX reservation_by_slot ON reservation (slot_id) WHERE status = 'confirmed';
CREATE INDEX reservation_by_reference ON reservation (api_key_id, reference) WHERE reference IS NOT NULL;

CREATE TABLE idempotency_key (
    api_key_id     text        NOT NULL,
    route          text        NOT NULL,
    key            text        NOT NULL,
    fingerprint    blob        NOT NULL,
    status         integer     NOT NULL,
    body           blob        NOT NULL,
    reservation_id text,
    created_at     text        NOT NULL,
    expires_at     text        NOT NULL,
    PRIMARY KEY (api_key_id, route, key)
) STRICT;
CREATE INDEX idempotency_key_by_expiry ON idempotency_key (expires_at);

-- outbox ----------------------------------------------------------------------------------------------------------

-- Append-only. Ids are commit order here, since one connection writes, and AUTOINCREMENT never gives an id twice.
CREATE TABLE outbox (
    id             integer     PRIMARY KEY AUTOINCREMENT,
    event_id       text        NOT NULL UNIQUE,
    type           text        NOT NULL,
    reservation_id text        NOT NULL,
    version        integer     NOT NULL,
    recipients     text        NOT NULL,
    resend         integer     NOT NULL DEFAULT 0,
    created_at     text        NOT NULL,
    traceparent    text        NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX outbox_by_reservation ON outbox (reservation_id);

-- One row a relay shard: who leads, until when, and up to where it has published. position is a pg_snapshot on
-- PostgreSQL and the last id on SQLite, as text.
CREATE TABLE outbox_relay (
    shard         text        NOT NULL PRIMARY KEY,
    epoch         integer     NOT NULL,
    holder        text        NOT NULL,
    leased_until  text        NOT NULL,
    position      text        NOT NULL,
    published     integer     NOT NULL DEFAULT 0,
    updated_at    text        NOT NULL
) STRICT;

-- notifier --------------------------------------------------------------------------------------------------------

CREATE TABLE message (
    id             text        NOT NULL PRIMARY KEY,
    event_id       text        NOT NULL,
    reservation_id text        NOT NULL,
    version        integer     NOT NULL,
    kind           text        NOT NULL CHECK (kind IN ('confirmation', 'change', 'cancellation', 'reminder')),
    recipient      text        NOT NULL CHECK (recipient IN ('resident', 'booker')),
    resend         integer     NOT NULL DEFAULT 0,
    state          text        NOT NULL CHECK (state IN ('pending', 'sending', 'unknown', 'accepted', 'sent', 'delivered',
                                                         'undelivered', 'failed', 'held', 'suppressed')),
    reason         text        NOT NULL DEFAULT '',
    due_at         text        NOT NULL,
    lease_token    text        NOT NULL DEFAULT '',
    attempts       integer     NOT NULL DEFAULT 0,
    failures       integer     NOT NULL DEFAULT 0,
    looks          integer     NOT NULL DEFAULT 0,
    looked_at      text,
    event_at       text        NOT NULL,
    created_at     text        NOT NULL,
    updated_at     text        NOT NULL,
    accepted_at    text,
    delivered_at   text,
    CONSTRAINT message_once_per_event UNIQUE (event_id, recipient),
    CONSTRAINT message_once_per_text UNIQUE (reservation_id, kind, version, recipient, resend)
) STRICT;
-- Only what still moves is in this index, so claiming stays flat however many messages are finished.
CREATE INDEX message_due ON message (state, due_at, id) WHERE state IN ('pending', 'sending', 'unknown');

CREATE TABLE attempt (
    token         text        NOT NULL PRIMARY KEY,
    message_id    text        NOT NULL REFERENCES message (id),
    n             integer     NOT NULL,
    state         text        NOT NULL CHECK (state IN ('open', 'unknown', 'not_sent', 'rejected', 'accepted', 'sent',
                                                        'failed', 'undelivered', 'delivered')),
    body_hash     blob        NOT NULL,
    provider_sid  text        UNIQUE,
    http_status   integer     NOT NULL DEFAULT 0,
    error_code    integer     NOT NULL DEFAULT 0,
    detail        text        NOT NULL DEFAULT '',
    started_at    text        NOT NULL,
    unknown_at    text,
    finished_at   text,
    UNIQUE (message_id, n)
) STRICT;

-- What the provider said of an attempt after (or instead of) its answer. A replay changes nothing.
CREATE TABLE receipt (
    attempt_token text        NOT NULL REFERENCES attempt (token),
    provider_sid  text        NOT NULL,
    status        text        NOT NULL,
    error_code    integer     NOT NULL DEFAULT 0,
    source        text        NOT NULL CHECK (source IN ('callback', 'list')),
    received_at   text        NOT NULL,
    PRIMARY KEY (attempt_token, provider_sid, status)
) STRICT;

-- Events that the intake could not read: kept with their reason, so that the offset may move on and nothing is lost.
-- id is a hash of where it stood and what it held: a replay is the same row, and an event at the same place of a
-- recreated topic is another.
CREATE TABLE parked_event (
    id              text        NOT NULL PRIMARY KEY,
    topic           text        NOT NULL,
    topic_partition integer     NOT NULL,
    topic_offset    integer     NOT NULL,
    headers         text        NOT NULL,
    body            blob        NOT NULL,
    reason          text        NOT NULL,
    parked_at       text        NOT NULL
) STRICT;

-- Up to where in the outbox the sweeper has seen that every row has its messages; position is outbox.Settled's.
CREATE TABLE sweeper (
    id         integer     NOT NULL PRIMARY KEY CHECK (id = 1),
    position   text        NOT NULL,
    rescued    integer     NOT NULL DEFAULT 0,
    updated_at text NOT NULL
) STRICT;
