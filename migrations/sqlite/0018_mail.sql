-- An address is kept in small letters and counts for nothing before it is
-- verified. `language` is that of the mails to its user.
ALTER TABLE users ADD COLUMN email TEXT;
ALTER TABLE users ADD COLUMN email_verified_at INTEGER;
ALTER TABLE users ADD COLUMN language TEXT NOT NULL DEFAULT 'en';
CREATE UNIQUE INDEX users_email ON users (email);

-- Links that are mailed to users. Each works once, for one user, as its kind
-- says: 'reset' for a new password, 'verify' for the address it was sent to.
CREATE TABLE account_links (
    id          BLOB    NOT NULL PRIMARY KEY,
    user_id     BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind        TEXT    NOT NULL CHECK (kind IN ('reset', 'verify')),
    secret_hash BLOB    NOT NULL,
    email       TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER
) STRICT;
CREATE UNIQUE INDEX account_links_secret_hash ON account_links (secret_hash);
CREATE INDEX account_links_user ON account_links (user_id);

-- What whoever follows the link becomes: a user with this role, in these teams,
-- with these grants. A registration is one that somebody asked for themselves.
CREATE TABLE invitations (
    id            BLOB    NOT NULL PRIMARY KEY,
    kind          TEXT    NOT NULL CHECK (kind IN ('invitation', 'registration')),
    secret_hash   BLOB    NOT NULL,
    email         TEXT,
    language      TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    teams         TEXT    NOT NULL,
    grants        TEXT    NOT NULL,
    invited_by    TEXT    NOT NULL,
    invited_by_id BLOB    REFERENCES users (id) ON DELETE CASCADE,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    accepted_at   INTEGER,
    accepted_by   TEXT,
    revoked_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX invitations_secret_hash ON invitations (secret_hash);
CREATE INDEX invitations_email ON invitations (email);

-- Mails that wait for a server to take them. `letter_sealed` is all that the
-- recipient reads, and gone once it was sent or given up.
CREATE TABLE outbox (
    id            BLOB    NOT NULL PRIMARY KEY,
    kind          TEXT    NOT NULL,
    recipient     TEXT    NOT NULL,
    letter_sealed BLOB,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    attempts      INTEGER NOT NULL,
    next_at       INTEGER NOT NULL,
    sent_at       INTEGER,
    failed_at     INTEGER,
    error         TEXT
) STRICT;
CREATE INDEX outbox_next ON outbox (next_at);
