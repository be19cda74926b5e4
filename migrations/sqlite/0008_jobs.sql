CREATE TABLE jobs (
    id             BLOB    NOT NULL PRIMARY KEY,
    kind           TEXT    NOT NULL,
    environment_id BLOB,
    subject        TEXT    NOT NULL,
    asked_by       TEXT    NOT NULL,
    asked_by_id    BLOB,
    state          TEXT    NOT NULL,
    progress       TEXT    NOT NULL,
    result         TEXT,
    failure        TEXT,
    output         TEXT    NOT NULL,
    output_skipped INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    started_at     INTEGER,
    ended_at       INTEGER
) STRICT;
CREATE INDEX jobs_environment ON jobs (environment_id, id);
CREATE INDEX jobs_state ON jobs (state);
CREATE INDEX jobs_creation ON jobs (created_at);
