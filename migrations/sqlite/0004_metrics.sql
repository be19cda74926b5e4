CREATE TABLE metric_chunks (
    environment_id BLOB    NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    kind           INTEGER NOT NULL,
    name           TEXT    NOT NULL,
    step_seconds   INTEGER NOT NULL,
    starts_at      INTEGER NOT NULL,
    points         BLOB    NOT NULL,
    PRIMARY KEY (environment_id, kind, name, step_seconds, starts_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX metric_chunks_age ON metric_chunks (step_seconds, starts_at);

CREATE TABLE metric_positions (
    environment_id BLOB    NOT NULL PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
    epoch          BLOB    NOT NULL,
    sequence       INTEGER NOT NULL
) STRICT;
