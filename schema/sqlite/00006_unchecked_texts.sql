-- +goose Up

-- PostgreSQL drops the foreign keys of attempt and receipt here. SQLite keeps them; see 00003.
SELECT 1;
