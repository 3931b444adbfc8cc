-- +goose Up

-- Who has lost their code is found by the number that they gave; so are those who call.
CREATE INDEX reservation_by_phone ON reservation (phone);
CREATE INDEX reservation_by_booker_phone ON reservation (booker_phone) WHERE booker_phone IS NOT NULL;
