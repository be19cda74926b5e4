ALTER TABLE environments ADD COLUMN record_terminals INTEGER NOT NULL DEFAULT 0;

-- A recording outlives its environment: it is part of what was done there.
CREATE TABLE recordings (
    id               BLOB    NOT NULL PRIMARY KEY,
    environment_id   BLOB    NOT NULL,
    environment_name TEXT    NOT NULL,
    container        TEXT    NOT NULL,
    container_name   TEXT,
    user_id          BLOB,
    user_name        TEXT    NOT NULL,
    command          TEXT,
    wide             INTEGER NOT NULL,
    high             INTEGER NOT NULL,
    state            TEXT    NOT NULL,
    is_cut           INTEGER NOT NULL,
    millis           INTEGER NOT NULL,
    bytes            INTEGER NOT NULL,
    stored_bytes     INTEGER NOT NULL,
    chunks           INTEGER NOT NULL,
    began_at         INTEGER NOT NULL,
    ended_at         INTEGER
) STRICT;
CREATE INDEX recordings_environment ON recordings (environment_id, id);
CREATE INDEX recordings_end ON recordings (ended_at, id);

CREATE TABLE recording_chunks (
    recording_id   BLOB    NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    number         INTEGER NOT NULL,
    content_sealed BLOB    NOT NULL,
    PRIMARY KEY (recording_id, number)
) STRICT;
