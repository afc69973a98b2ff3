-- Hubs that run now and share this store. A hub counts its beats; one whose count stands still is taken out by any other.
CREATE TABLE hub (
    id    TEXT   NOT NULL PRIMARY KEY,
    -- Names with a comma between them.
    roles TEXT   NOT NULL,
    beat  BIGINT NOT NULL
);

-- Which hub appends to an item. A holder that is no hub any more holds nothing.
CREATE TABLE claim (
    item   TEXT   NOT NULL PRIMARY KEY,
    holder TEXT,
    -- Grows with every change of holder.
    epoch  BIGINT NOT NULL,
    -- 1 while another hub waits for it.
    wanted BIGINT NOT NULL
);

-- What all hubs of a city must have in common; the first one says it.
CREATE TABLE common (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
