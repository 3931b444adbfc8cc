-- +goose Up

-- One row: whether texts may be sent. world names the database server and its history, as they were when sending was last
-- allowed: a restored backup and a promoted standby have another, and then what this database says of texts may be older than
-- what people have got. It is '' where that cannot be told, and before the first look.
CREATE TABLE sending (
    id         integer     NOT NULL PRIMARY KEY CHECK (id = 1),
    state      text        NOT NULL CHECK (state IN ('running', 'frozen')),
    reason     text        NOT NULL,
    asked_by   text        NOT NULL,
    changed_at text       ,
    world      text        NOT NULL
) STRICT;
INSERT INTO sending (id, state, reason, asked_by, world) VALUES (1, 'running', '', '', '');
