-- +goose Up

-- A number that was corrected is told so, too: whoever has it got texts about this reservation and gets no more.
-- SQLite cannot change a CHECK; this is the way that its documentation gives for a change that leaves the rows as they are
-- (https://www.sqlite.org/lang_altertable.html#otheralter). The column that is added and dropped makes other connections read the
-- schema again.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'recipient IN (''resident'', ''booker'')', 'recipient IN (''resident'', ''booker'', ''former'')')
    WHERE type = 'table' AND name = 'message';
PRAGMA writable_schema = RESET;
ALTER TABLE message ADD COLUMN reread integer;
ALTER TABLE message DROP COLUMN reread;
