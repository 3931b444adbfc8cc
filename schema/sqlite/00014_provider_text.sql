-- +goose Up

-- Which attempt holds a text of the provider's: one text is never two attempts'. PostgreSQL drops the unique key of
-- attempt.provider_sid here; SQLite, which would have to write the table anew for that, keeps it.
CREATE TABLE provider_text (
    provider_sid  text NOT NULL PRIMARY KEY,
    attempt_token text NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO provider_text (provider_sid, attempt_token) SELECT provider_sid, token FROM attempt WHERE provider_sid IS NOT NULL;
