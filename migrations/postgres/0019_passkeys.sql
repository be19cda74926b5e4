-- A passkey is a public key and what must not change of it. `rp_id` is the name
-- of the hub that it was made for: browsers offer it there and nowhere else.
-- `sign_count` is the number of uses that the authenticator said last.
CREATE TABLE passkeys (
    id              UUID        NOT NULL PRIMARY KEY,
    user_id         UUID        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential_id   BYTEA       NOT NULL,
    public_key      BYTEA       NOT NULL,
    sign_count      BIGINT      NOT NULL,
    transports      TEXT        NOT NULL,
    user_handle     BYTEA       NOT NULL,
    rp_id           TEXT        NOT NULL,
    name            TEXT        NOT NULL,
    backup_eligible BOOLEAN     NOT NULL,
    backed_up       BOOLEAN     NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    last_used_at    TIMESTAMPTZ
);
CREATE UNIQUE INDEX passkeys_credential_id ON passkeys (credential_id);
CREATE INDEX passkeys_user ON passkeys (user_id);
