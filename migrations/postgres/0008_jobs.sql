CREATE TABLE jobs (
    id             UUID        NOT NULL PRIMARY KEY,
    kind           TEXT        NOT NULL,
    environment_id UUID,
    subject        TEXT        NOT NULL,
    asked_by       TEXT        NOT NULL,
    asked_by_id    UUID,
    state          TEXT        NOT NULL,
    progress       JSONB       NOT NULL,
    result         JSONB,
    failure        JSONB,
    output         TEXT        NOT NULL,
    output_skipped BIGINT      NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    started_at     TIMESTAMPTZ,
    ended_at       TIMESTAMPTZ
);
CREATE INDEX jobs_environment ON jobs (environment_id, id);
CREATE INDEX jobs_state ON jobs (state);
CREATE INDEX jobs_creation ON jobs (created_at);
