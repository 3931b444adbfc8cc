-- +goose Up

-- What is due for a message and when: one small row while anything is, none when nothing is left to do. The jobs: send it,
-- wait for the answer (until its lease ends), look for it, poll for its receipt; person: somebody has to decide. since is from when on somebody
-- waits: the change's time, or for a text that did not arrive the time of its next attempt. It is a
-- table of its own so that the message, with its four indexes, can be updated in place (HOT) all the way, and so that finding
-- work never passes by what is finished. Whoever changes a row holds its message's lock.
CREATE TABLE message_queue (
    message_id uuid        NOT NULL PRIMARY KEY,
    job        text        NOT NULL CHECK (job IN ('send', 'answer', 'look', 'poll', 'person')),
    priority   smallint    NOT NULL,
    due_at     timestamptz NOT NULL,
    since      timestamptz NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX message_queue_due ON message_queue (job, priority, due_at);

INSERT INTO message_queue (message_id, job, priority, due_at, since)
SELECT id, CASE state WHEN 'pending' THEN 'send' WHEN 'undelivered' THEN 'send' WHEN 'sending' THEN 'answer'
        WHEN 'unknown' THEN 'look' WHEN 'held' THEN 'person' WHEN 'failed' THEN 'person' ELSE 'poll' END,
    CASE WHEN state NOT IN ('pending', 'undelivered') THEN 0 WHEN resend > 0 THEN 2 WHEN kind = 'confirmation' THEN 0
        WHEN kind = 'reminder' THEN 3 ELSE 1 END, due_at, event_at
FROM message WHERE state IN ('pending', 'sending', 'unknown', 'accepted', 'sent', 'undelivered', 'held', 'failed');

DROP INDEX message_due;
ALTER TABLE message DROP COLUMN due_at;
ALTER TABLE message DROP COLUMN lease_token;
-- How often the provider was asked for a receipt that did not come.
ALTER TABLE message ADD COLUMN polls integer NOT NULL DEFAULT 0;
ALTER TABLE message SET (fillfactor = 60);

-- Budgets that all processes share: texts in segments, and questions to the provider. Tokens may be below zero: then the
-- next one waits.
CREATE TABLE token_bucket (
    name       text             NOT NULL PRIMARY KEY,
    tokens     double precision NOT NULL,
    updated_at timestamptz      NOT NULL
);

-- The notifiers that run, each telling how it fares. A row that was not renewed for a while is of a process that died.
CREATE TABLE notifier_process (
    id         uuid             NOT NULL PRIMARY KEY,
    started_at timestamptz      NOT NULL,
    seen_at    timestamptz      NOT NULL,
    state      text             NOT NULL,
    slots      integer          NOT NULL,
    rate       double precision NOT NULL
);

-- Who asked for a text again, why, and whether it was known that the first one might have arrived. number is the resend
-- number of its messages.
CREATE TABLE resend (
    event_id       uuid        NOT NULL PRIMARY KEY,
    reservation_id uuid        NOT NULL REFERENCES reservation (id),
    version        integer     NOT NULL,
    number         integer     NOT NULL CHECK (number >= 1),
    recipients     text        NOT NULL,
    reason         text        NOT NULL,
    requested_by   text        NOT NULL,
    while_unknown  integer     NOT NULL CHECK (while_unknown IN (0, 1)),
    created_at     timestamptz NOT NULL,
    UNIQUE (reservation_id, version, number)
);
