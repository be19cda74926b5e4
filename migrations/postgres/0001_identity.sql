CREATE TABLE settings (
    key        TEXT        NOT NULL PRIMARY KEY,
    value      BYTEA       NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE users (
    id            UUID        NOT NULL PRIMARY KEY,
    name          TEXT        NOT NULL,
    role          TEXT        NOT NULL,
    password_hash TEXT        NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    updated_at    TIMESTAMPTZ NOT NULL,
    disabled_at   TIMESTAMPTZ
);
CREATE UNIQUE INDEX users_name ON users (LOWER(name));

CREATE TABLE sessions (
    id          UUID        NOT NULL PRIMARY KEY,
    user_id     UUID        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    secret_hash BYTEA       NOT NULL,
    address     TEXT,
    user_agent  TEXT        NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX sessions_secret_hash ON sessions (secret_hash);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE api_tokens (
    id           TEXT        NOT NULL PRIMARY KEY,
    user_id      UUID        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT        NOT NULL,
    secret_hash  BYTEA       NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ NOT NULL,
    last_used_at TIMESTAMPTZ,
    revoked_at   TIMESTAMPTZ
);
CREATE INDEX api_tokens_user ON api_tokens (user_id);
CREATE INDEX api_tokens_expiry ON api_tokens (expires_at);

CREATE TABLE audit (
    id             UUID        NOT NULL PRIMARY KEY,
    at             TIMESTAMPTZ NOT NULL,
    actor_kind     TEXT        NOT NULL,
    actor_id       TEXT,
    actor_name     TEXT        NOT NULL,
    credential     TEXT,
    action         TEXT        NOT NULL,
    outcome        TEXT        NOT NULL,
    target_kind    TEXT,
    target_id      TEXT,
    environment_id UUID,
    address        TEXT,
    request_id     TEXT,
    details        JSONB       NOT NULL
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_target ON audit (target_kind, target_id);
