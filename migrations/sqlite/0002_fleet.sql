CREATE TABLE environments (
    id              BLOB    NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    address         TEXT,
    insecure        INTEGER NOT NULL,
    tls_authority   TEXT,
    tls_certificate TEXT,
    tls_key_sealed  BLOB,
    labels          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    last_seen_at    INTEGER,
    agent_version   TEXT,
    engine_version  TEXT
) STRICT;
CREATE UNIQUE INDEX environments_name ON environments (LOWER(name));

CREATE TABLE agents (
    id               BLOB    NOT NULL PRIMARY KEY,
    environment_id   BLOB    NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    state            TEXT    NOT NULL,
    key_digest       BLOB    NOT NULL,
    generation       INTEGER NOT NULL,
    ticket_current   INTEGER NOT NULL,
    ticket_pending   INTEGER,
    ticket_previous  INTEGER,
    ticket_refused   INTEGER,
    forgiven_at      INTEGER,
    hostname         TEXT    NOT NULL,
    os               TEXT    NOT NULL,
    arch             TEXT    NOT NULL,
    machine          BLOB    NOT NULL,
    enrolled_with    TEXT    NOT NULL,
    enrolled_at      INTEGER NOT NULL,
    connected_at     INTEGER,
    revoked_at       INTEGER,
    revoke_reason    TEXT
) STRICT;
CREATE UNIQUE INDEX agents_environment ON agents (environment_id);
CREATE UNIQUE INDEX agents_key ON agents (key_digest);

CREATE TABLE agent_certificates (
    serial     TEXT    NOT NULL PRIMARY KEY,
    agent_id   BLOB    NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX agent_certificates_agent ON agent_certificates (agent_id);
CREATE INDEX agent_certificates_expiry ON agent_certificates (expires_at);

CREATE TABLE enrollment_tokens (
    id               TEXT    NOT NULL PRIMARY KEY,
    name             TEXT    NOT NULL,
    secret_mac       BLOB    NOT NULL,
    replaces_agent   BLOB REFERENCES agents (id) ON DELETE CASCADE,
    created_by       TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    max_uses         INTEGER NOT NULL,
    uses             INTEGER NOT NULL,
    labels           TEXT    NOT NULL,
    name_pattern     TEXT,
    networks         TEXT    NOT NULL,
    needs_approval   INTEGER NOT NULL,
    revoked_at       INTEGER,
    revoke_reason    TEXT,
    last_used_at     INTEGER,
    last_used_from   TEXT
) STRICT;
CREATE INDEX enrollment_tokens_expiry ON enrollment_tokens (expires_at);

CREATE TABLE enrollment_uses (
    token_id   TEXT    NOT NULL REFERENCES enrollment_tokens (id) ON DELETE CASCADE,
    key_digest BLOB    NOT NULL,
    agent_id   BLOB    NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    at         INTEGER NOT NULL,
    PRIMARY KEY (token_id, key_digest)
) STRICT;
