-- +goose Up

-- PostgreSQL drops the foreign keys of reservation here. SQLite keeps them: there they lock nothing, and a table would have to
-- be written anew to lose them.
SELECT 1;
