-- `nanos` is the engine's own time, by which its events are told apart; `at` is
-- the same as every other time here.
CREATE TABLE events (
    id             BLOB    NOT NULL PRIMARY KEY,
    environment_id BLOB    NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    at             INTEGER NOT NULL,
    nanos          INTEGER NOT NULL,
    kind           TEXT    NOT NULL,
    action         TEXT    NOT NULL,
    object_id      TEXT    NOT NULL,
    object_name    TEXT    NOT NULL,
    container_id   TEXT,
    facts          TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_mark ON events (environment_id, nanos, kind, action, object_id);
CREATE INDEX events_at ON events (at, id);
CREATE INDEX events_environment ON events (environment_id, at, id);
CREATE INDEX events_container ON events (container_id, at, id);
