ALTER TABLE environments ADD COLUMN record_terminals BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE recordings (
    id               UUID        NOT NULL PRIMARY KEY,
    environment_id   UUID        NOT NULL,
    environment_name TEXT        NOT NULL,
    container        TEXT        NOT NULL,
    container_name   TEXT,
    user_id          UUID,
    user_name        TEXT        NOT NULL,
    command          JSONB,
    wide             BIGINT      NOT NULL,
    high             BIGINT      NOT NULL,
    state            TEXT        NOT NULL,
    is_cut           BOOLEAN     NOT NULL,
    millis           BIGINT      NOT NULL,
    bytes            BIGINT      NOT NULL,
    stored_bytes     BIGINT      NOT NULL,
    chunks           BIGINT      NOT NULL,
    began_at         TIMESTAMPTZ NOT NULL,
    ended_at         TIMESTAMPTZ
);
CREATE INDEX recordings_environment ON recordings (environment_id, id);
CREATE INDEX recordings_end ON recordings (ended_at, id);

CREATE TABLE recording_chunks (
    recording_id   UUID   NOT NULL REFERENCES recordings (id) ON DELETE CASCADE,
    number         BIGINT NOT NULL,
    content_sealed BYTEA  NOT NULL,
    PRIMARY KEY (recording_id, number)
);
