-- +goose Up

-- As with reservations (00003): each text and each receipt would cost a look at its parent and a lock on it. The transaction
-- that writes an attempt holds the lock of its message, and the one that writes a receipt that of the attempt's message; none
-- of them is deleted without the other, and `ansim check` looks for orphans.
ALTER TABLE attempt DROP CONSTRAINT attempt_message_id_fkey;
ALTER TABLE receipt DROP CONSTRAINT receipt_attempt_token_fkey;
