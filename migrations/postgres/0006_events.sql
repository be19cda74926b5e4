CREATE TABLE events (
    id             UUID        NOT NULL PRIMARY KEY,
    environment_id UUID        NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    at             TIMESTAMPTZ NOT NULL,
    nanos          BIGINT      NOT NULL,
    kind           TEXT        NOT NULL,
    action         TEXT        NOT NULL,
    object_id      TEXT        NOT NULL,
    object_name    TEXT        NOT NULL,
    container_id   TEXT,
    facts          JSONB       NOT NULL
);
CREATE UNIQUE INDEX events_mark ON events (environment_id, nanos, kind, action, object_id);
CREATE INDEX events_at ON events (at, id);
CREATE INDEX events_environment ON events (environment_id, at, id);
CREATE INDEX events_container ON events (container_id, at, id);
