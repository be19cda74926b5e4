CREATE TABLE metric_chunks (
    environment_id UUID        NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    kind           BIGINT      NOT NULL,
    name           TEXT        NOT NULL,
    step_seconds   BIGINT      NOT NULL,
    starts_at      TIMESTAMPTZ NOT NULL,
    points         BYTEA       NOT NULL,
    PRIMARY KEY (environment_id, kind, name, step_seconds, starts_at)
);
CREATE INDEX metric_chunks_age ON metric_chunks (step_seconds, starts_at);

CREATE TABLE metric_positions (
    environment_id UUID   NOT NULL PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
    epoch          BYTEA  NOT NULL,
    sequence       BIGINT NOT NULL
);
