-- Times are microseconds since 1970 in UTC. STRICT keeps a time that was bound
-- as text, which would not sort like its PostgreSQL twin, out of the table.

CREATE TABLE settings (
    key        TEXT    NOT NULL PRIMARY KEY,
    value      BLOB    NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id            BLOB    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    disabled_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX users_name ON users (LOWER(name));

CREATE TABLE sessions (
    id          BLOB    NOT NULL PRIMARY KEY,
    user_id     BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    secret_hash BLOB    NOT NULL,
    address     TEXT,
    user_agent  TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sessions_secret_hash ON sessions (secret_hash);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE api_tokens (
    id           TEXT    NOT NULL PRIMARY KEY,
    user_id      BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT    NOT NULL,
    secret_hash  BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX api_tokens_user ON api_tokens (user_id);
CREATE INDEX api_tokens_expiry ON api_tokens (expires_at);

CREATE TABLE audit (
    id             BLOB    NOT NULL PRIMARY KEY,
    at             INTEGER NOT NULL,
    actor_kind     TEXT    NOT NULL,
    actor_id       TEXT,
    actor_name     TEXT    NOT NULL,
    credential     TEXT,
    action         TEXT    NOT NULL,
    outcome        TEXT    NOT NULL,
    target_kind    TEXT,
    target_id      TEXT,
    environment_id BLOB,
    address        TEXT,
    request_id     TEXT,
    details        TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_target ON audit (target_kind, target_id);
