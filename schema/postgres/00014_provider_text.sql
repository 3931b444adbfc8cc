-- +goose Up

-- Which attempt holds a text of the provider's: one text is never two attempts'. It was a unique column of attempt; but an index
-- on what is written with the answer makes that update move the row, and change all of its indexes. Here it is one insert, and
-- the attempt is updated in place (HOT), which together is half of the work.
CREATE TABLE provider_text (
    provider_sid  text NOT NULL PRIMARY KEY,
    attempt_token text NOT NULL
);
INSERT INTO provider_text (provider_sid, attempt_token) SELECT provider_sid, token FROM attempt WHERE provider_sid IS NOT NULL;
ALTER TABLE attempt DROP CONSTRAINT attempt_provider_sid_key;
