-- +goose Up

-- Each version of a reservation that a later one has replaced, as it was: what its texts said and where they went. The present
-- version is in reservation. Slots may be removed when nobody holds them any more, so the time and the site are kept here.
CREATE TABLE reservation_history (
    reservation_id uuid        NOT NULL,
    version        integer     NOT NULL CHECK (version >= 1),
    slot_id        text        NOT NULL,
    site_id        text        NOT NULL,
    starts_at      timestamptz NOT NULL,
    name           text        NOT NULL,
    phone          text        NOT NULL,
    language       text        NOT NULL,
    since          timestamptz NOT NULL,
    PRIMARY KEY (reservation_id, version)
);

-- Lists of a site's slots.
CREATE INDEX slot_by_site ON slot (site_id, starts_at, id);
