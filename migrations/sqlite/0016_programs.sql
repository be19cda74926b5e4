-- What tokens are limited to. Those from before may do all that their owners may.
ALTER TABLE api_tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '["admin"]';
ALTER TABLE api_tokens ADD COLUMN environments TEXT NOT NULL DEFAULT '[]';
ALTER TABLE api_tokens ADD COLUMN environment_groups TEXT NOT NULL DEFAULT '[]';
ALTER TABLE api_tokens ADD COLUMN networks TEXT NOT NULL DEFAULT '[]';

-- What programs get for a password: a family of tokens for each sign-in.
CREATE TABLE token_families (
    id           BLOB    NOT NULL PRIMARY KEY,
    user_id      BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address      TEXT,
    user_agent   TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX token_families_user ON token_families (user_id);
CREATE INDEX token_families_expiry ON token_families (expires_at);

-- Those that were used stay until they would have ended, so that a second use is noticed.
CREATE TABLE refresh_tokens (
    id          TEXT    NOT NULL PRIMARY KEY,
    family_id   BLOB    NOT NULL REFERENCES token_families (id) ON DELETE CASCADE,
    secret_hash BLOB    NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER
) STRICT;
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

-- With what access tokens are signed. The newest signs.
CREATE TABLE signing_keys (
    id            TEXT    NOT NULL PRIMARY KEY,
    public_key    BLOB    NOT NULL,
    secret_sealed BLOB    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;
