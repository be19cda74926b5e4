-- What tokens are limited to. Those from before may do all that their owners may.
ALTER TABLE api_tokens ADD COLUMN scopes JSONB NOT NULL DEFAULT '["admin"]';
ALTER TABLE api_tokens ADD COLUMN environments JSONB NOT NULL DEFAULT '[]';
ALTER TABLE api_tokens ADD COLUMN environment_groups JSONB NOT NULL DEFAULT '[]';
ALTER TABLE api_tokens ADD COLUMN networks JSONB NOT NULL DEFAULT '[]';

-- What programs get for a password: a family of tokens for each sign-in.
CREATE TABLE token_families (
    id           UUID        NOT NULL PRIMARY KEY,
    user_id      UUID        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address      TEXT,
    user_agent   TEXT        NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ NOT NULL,
    last_used_at TIMESTAMPTZ NOT NULL,
    revoked_at   TIMESTAMPTZ
);
CREATE INDEX token_families_user ON token_families (user_id);
CREATE INDEX token_families_expiry ON token_families (expires_at);

-- Those that were used stay until they would have ended, so that a second use is noticed.
CREATE TABLE refresh_tokens (
    id          TEXT        NOT NULL PRIMARY KEY,
    family_id   UUID        NOT NULL REFERENCES token_families (id) ON DELETE CASCADE,
    secret_hash BYTEA       NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL,
    used_at     TIMESTAMPTZ
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

-- With what access tokens are signed. The newest signs.
CREATE TABLE signing_keys (
    id            TEXT        NOT NULL PRIMARY KEY,
    public_key    BYTEA       NOT NULL,
    secret_sealed BYTEA       NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL
);
