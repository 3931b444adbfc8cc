-- +goose Up

-- Not of the confirmed alone: an index whose condition a query implies can be read whole for it, and while the table was empty that
-- looked as good as looking a person up by the index that is for persons. In the first minute of a new installation each booking
-- read all bookings.
DROP INDEX reservation_by_slot;
CREATE INDEX reservation_by_slot ON reservation (slot_id, status);
