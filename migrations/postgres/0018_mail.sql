-- An address is kept in small letters and counts for nothing before it is
-- verified. `language` is that of the mails to its user.
ALTER TABLE users ADD COLUMN email TEXT;
ALTER TABLE users ADD COLUMN email_verified_at TIMESTAMPTZ;
ALTER TABLE users ADD COLUMN language TEXT NOT NULL DEFAULT 'en';
CREATE UNIQUE INDEX users_email ON users (email);

-- Links that are mailed to users. Each works once, for one user, as its kind
-- says: 'reset' for a new password, 'verify' for the address it was sent to.
CREATE TABLE account_links (
    id          UUID        NOT NULL PRIMARY KEY,
    user_id     UUID        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind        TEXT        NOT NULL CHECK (kind IN ('reset', 'verify')),
    secret_hash BYTEA       NOT NULL,
    email       TEXT        NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL,
    used_at     TIMESTAMPTZ
);
CREATE UNIQUE INDEX account_links_secret_hash ON account_links (secret_hash);
CREATE INDEX account_links_user ON account_links (user_id);

-- What whoever follows the link becomes: a user with this role, in these teams,
-- with these grants. A registration is one that somebody asked for themselves.
CREATE TABLE invitations (
    id            UUID        NOT NULL PRIMARY KEY,
    kind          TEXT        NOT NULL CHECK (kind IN ('invitation', 'registration')),
    secret_hash   BYTEA       NOT NULL,
    email         TEXT,
    language      TEXT        NOT NULL,
    role          TEXT        NOT NULL,
    teams         JSONB       NOT NULL,
    grants        JSONB       NOT NULL,
    invited_by    TEXT        NOT NULL,
    invited_by_id UUID        REFERENCES users (id) ON DELETE CASCADE,
    created_at    TIMESTAMPTZ NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL,
    accepted_at   TIMESTAMPTZ,
    accepted_by   TEXT,
    revoked_at    TIMESTAMPTZ
);
CREATE UNIQUE INDEX invitations_secret_hash ON invitations (secret_hash);
CREATE INDEX invitations_email ON invitations (email);

-- Mails that wait for a server to take them. `letter_sealed` is all that the
-- recipient reads, and gone once it was sent or given up.
CREATE TABLE outbox (
    id            UUID        NOT NULL PRIMARY KEY,
    kind          TEXT        NOT NULL,
    recipient     TEXT        NOT NULL,
    letter_sealed BYTEA,
    created_at    TIMESTAMPTZ NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL,
    attempts      BIGINT      NOT NULL,
    next_at       TIMESTAMPTZ NOT NULL,
    sent_at       TIMESTAMPTZ,
    failed_at     TIMESTAMPTZ,
    error         TEXT
);
CREATE INDEX outbox_next ON outbox (next_at);
