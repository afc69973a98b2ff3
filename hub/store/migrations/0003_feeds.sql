-- Feeds: the order of receipts, and where subscribers have come to.

-- Receipts that have no place in the order yet. A transaction that stores a receipt adds it here; whoever reads the
-- order gives places to what is committed (module `feed`). Numbers drawn while storing would become visible out of
-- order when hubs store at the same time, and a reader would pass over the late ones.
CREATE TABLE receipt_unplaced (
    provider    TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    batch_id    TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (provider, kind, batch_id)
);
INSERT INTO receipt_unplaced (provider, kind, batch_id, received_at)
    SELECT provider, kind, batch_id, received_at FROM receipt;

-- The order: dense from 1, only ever added to.
CREATE TABLE receipt_place (
    place    BIGINT NOT NULL PRIMARY KEY,
    provider TEXT   NOT NULL,
    kind     TEXT   NOT NULL,
    batch_id TEXT   NOT NULL
);
CREATE UNIQUE INDEX receipt_place_batch ON receipt_place (provider, kind, batch_id);
CREATE INDEX receipt_place_provider ON receipt_place (provider, place);

-- Names this order, so that a position of another database is recognised. One row, `singleton` = 1.
CREATE TABLE receipt_order (
    singleton BIGINT NOT NULL PRIMARY KEY,
    id        TEXT   NOT NULL
);

-- The last position that a subscriber confirmed.
CREATE TABLE feed_position (
    subscriber TEXT   NOT NULL,
    feed       TEXT   NOT NULL,
    position   TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (subscriber, feed)
);
