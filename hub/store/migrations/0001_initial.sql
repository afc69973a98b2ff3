-- One schema for SQLite and PostgreSQL: BIGINT, TEXT and BYTEA only, moments in milliseconds since the epoch, JSON as
-- TEXT, no triggers, no generated keys. SQLite gives an unknown type name numeric affinity, which leaves bytes alone.

-- The answer to every batch; also what makes a repeated batch the same batch.
CREATE TABLE receipt (
    provider    TEXT   NOT NULL,
    -- `batch` or `rejects`: one batch id may name both halves of a delivery.
    kind        TEXT   NOT NULL,
    batch_id    TEXT   NOT NULL,
    item        TEXT   NOT NULL,
    -- SM3 of the request body, hex.
    digest      TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    accepted    BIGINT NOT NULL,
    duplicate   BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    -- The signed receipt, JSON.
    body        TEXT   NOT NULL,
    PRIMARY KEY (provider, kind, batch_id)
);
CREATE INDEX receipt_received ON receipt (received_at);

-- Rejected rows of one batch, sealed by the vault under kind `quarantine` and this id.
CREATE TABLE quarantine_blob (
    id     TEXT  NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL
);

CREATE TABLE quarantine (
    id          TEXT   NOT NULL PRIMARY KEY,
    provider    TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    batch_id    TEXT   NOT NULL,
    item        TEXT   NOT NULL,
    -- Index in the batch, from 0.
    row_no      BIGINT NOT NULL,
    -- Reasons with messages, JSON; no values.
    reasons     TEXT   NOT NULL,
    blob_id     TEXT   NOT NULL,
    -- Index in the blob, from 0.
    blob_row    BIGINT NOT NULL,
    -- `waiting`, `replayed` or `dropped`.
    status      TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    resolved_at BIGINT
);
CREATE INDEX quarantine_waiting ON quarantine (status, item, provider);
CREATE INDEX quarantine_batch ON quarantine (provider, kind, batch_id);

-- One line per row and reason, for counting.
CREATE TABLE quarantine_reason (
    quarantine_id TEXT NOT NULL,
    code          TEXT NOT NULL,
    field         TEXT NOT NULL,
    PRIMARY KEY (quarantine_id, code, field)
);

-- Where a connector goes on reading.
CREATE TABLE checkpoint (
    connector  TEXT   NOT NULL,
    place      TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (connector, place)
);

-- Verification reports; the body is sealed by the vault under kind `report` and this id.
CREATE TABLE report (
    id              TEXT   NOT NULL PRIMARY KEY,
    application_no  TEXT   NOT NULL,
    -- Moment that the report speaks of.
    as_of           BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    created_by      TEXT   NOT NULL,
    conclusion      TEXT   NOT NULL,
    -- Versions that it can be computed again from, JSON.
    versions        TEXT   NOT NULL,
    -- SM3 of the report's JSON, hex.
    digest          TEXT   NOT NULL,
    key_id          TEXT   NOT NULL,
    signature       TEXT   NOT NULL,
    sealed          BYTEA  NOT NULL
);
CREATE INDEX report_application ON report (application_no, created_at);

CREATE TABLE principal (
    id                TEXT   NOT NULL PRIMARY KEY,
    role              TEXT   NOT NULL,
    department        TEXT,
    county            TEXT,
    password_verifier TEXT,
    disabled_at       BIGINT,
    created_at        BIGINT NOT NULL
);

-- The chain of evidence; rows are only ever added.
CREATE TABLE audit (
    seq       BIGINT NOT NULL PRIMARY KEY,
    at        BIGINT NOT NULL,
    principal TEXT   NOT NULL,
    purpose   TEXT   NOT NULL,
    action    TEXT   NOT NULL,
    -- JSON; codes, counts and names of objects, never personal data.
    detail    TEXT   NOT NULL,
    prev_hash TEXT   NOT NULL,
    hash      TEXT   NOT NULL
);

CREATE TABLE audit_checkpoint (
    seq       BIGINT NOT NULL PRIMARY KEY,
    at        BIGINT NOT NULL,
    hash      TEXT   NOT NULL,
    key_id    TEXT   NOT NULL,
    signature TEXT   NOT NULL
);
