-- +goose Up

-- A foreign key costs each booking a look at its parent and a lock on it, three times, and tells nothing new: the transaction
-- that books holds the lock of the slot, has read the slot's programme, and acts for a key that was just checked. Slots with
-- reservations, programmes and keys are never deleted (see booking.ApplyProgramme), and `ansim check` looks for orphans.
ALTER TABLE reservation
    DROP CONSTRAINT reservation_programme_id_fkey,
    DROP CONSTRAINT reservation_slot_id_fkey,
    DROP CONSTRAINT reservation_api_key_id_fkey;
