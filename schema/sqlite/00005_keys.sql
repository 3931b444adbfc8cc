-- +goose Up

-- A key may be in rotation: the one before is accepted until previous_until. rate is in requests a second, 0 for no limit.
ALTER TABLE api_key ADD COLUMN previous_hash blob;
ALTER TABLE api_key ADD COLUMN previous_until text;
ALTER TABLE api_key ADD COLUMN rate integer NOT NULL DEFAULT 0;
ALTER TABLE api_key ADD COLUMN expires_at text;
ALTER TABLE api_key ADD COLUMN last_used_at text;
CREATE UNIQUE INDEX api_key_previous ON api_key (previous_hash) WHERE previous_hash IS NOT NULL;

-- What was changed of programmes, when, and by whom. Append-only.
CREATE TABLE programme_change (
    id           text    NOT NULL PRIMARY KEY,
    programme_id text    NOT NULL,
    changed_at   text    NOT NULL,
    changed_by   text    NOT NULL,
    action       text    NOT NULL,
    what         text    NOT NULL,
    what_id      text    NOT NULL,
    detail       text    NOT NULL
) STRICT;
CREATE INDEX programme_change_by_time ON programme_change (programme_id, changed_at, id);
