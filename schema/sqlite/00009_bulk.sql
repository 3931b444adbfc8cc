-- +goose Up

-- What staff set off for many reservations at once, and how far it is; see package bulk. target is an id, a cause or a slot, by
-- what about says. done is counted in the transaction that does, and place is the last reservation of a slot that was dealt with.
-- outcomes is why what was not done was not, as JSON: counts by reason. Who works on it holds the lease.
CREATE TABLE staff_run (
    id                text        NOT NULL PRIMARY KEY,
    about             text        NOT NULL CHECK (about IN ('item', 'cause', 'all', 'slot')),
    kind              text        NOT NULL CHECK (kind IN ('', 'events', 'texts')),
    target            text        NOT NULL,
    reason            text        NOT NULL,
    accept_duplicates integer     NOT NULL,
    actor             text        NOT NULL,
    state             text        NOT NULL CHECK (state IN ('running', 'paused', 'stopped', 'done', 'failed')),
    total             integer     NOT NULL,
    done              integer     NOT NULL,
    passed            integer     NOT NULL,
    outcomes          text        NOT NULL,
    place             text        NOT NULL,
    began_at          text        NOT NULL,
    changed_at        text        NOT NULL,
    lease_by          text        NOT NULL,
    lease_until       text        NOT NULL
) STRICT;
CREATE INDEX staff_run_running ON staff_run (began_at) WHERE state = 'running';
CREATE INDEX staff_run_newest ON staff_run (began_at);
