-- +goose Up

-- Up to when events, and texts about appointments, may have been deleted for their age. Without a row none ever was. What looks for
-- what must be there goes by these: nothing else tells what was deleted from what never was.
CREATE TABLE outbox_retention (
    id             integer     NOT NULL PRIMARY KEY CHECK (id = 1),
    deleted_before timestamptz NOT NULL
);
CREATE TABLE message_retention (
    id             integer     NOT NULL PRIMARY KEY CHECK (id = 1),
    deleted_before timestamptz NOT NULL
);
