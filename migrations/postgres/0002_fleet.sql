CREATE TABLE environments (
    id               UUID        NOT NULL PRIMARY KEY,
    name             TEXT        NOT NULL,
    kind             TEXT        NOT NULL,
    address          TEXT,
    insecure         BOOLEAN     NOT NULL,
    tls_authority    TEXT,
    tls_certificate  TEXT,
    tls_key_sealed   BYTEA,
    labels           JSONB       NOT NULL,
    created_at       TIMESTAMPTZ NOT NULL,
    last_seen_at     TIMESTAMPTZ,
    agent_version    TEXT,
    engine_version   TEXT
);
CREATE UNIQUE INDEX environments_name ON environments (LOWER(name));

CREATE TABLE agents (
    id               UUID        NOT NULL PRIMARY KEY,
    environment_id   UUID        NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    state            TEXT        NOT NULL,
    key_digest       BYTEA       NOT NULL,
    generation       BIGINT      NOT NULL,
    ticket_current   BIGINT NOT NULL,
    ticket_pending   BIGINT,
    ticket_previous  BIGINT,
    ticket_refused   BIGINT,
    forgiven_at      TIMESTAMPTZ,
    hostname         TEXT        NOT NULL,
    os               TEXT        NOT NULL,
    arch             TEXT        NOT NULL,
    machine          BYTEA       NOT NULL,
    enrolled_with    TEXT        NOT NULL,
    enrolled_at      TIMESTAMPTZ NOT NULL,
    connected_at     TIMESTAMPTZ,
    revoked_at       TIMESTAMPTZ,
    revoke_reason    TEXT
);
CREATE UNIQUE INDEX agents_environment ON agents (environment_id);
CREATE UNIQUE INDEX agents_key ON agents (key_digest);

CREATE TABLE agent_certificates (
    serial           TEXT        NOT NULL PRIMARY KEY,
    agent_id         UUID        NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    issued_at        TIMESTAMPTZ NOT NULL,
    expires_at       TIMESTAMPTZ NOT NULL
);
CREATE INDEX agent_certificates_agent ON agent_certificates (agent_id);
CREATE INDEX agent_certificates_expiry ON agent_certificates (expires_at);

CREATE TABLE enrollment_tokens (
    id               TEXT        NOT NULL PRIMARY KEY,
    name             TEXT        NOT NULL,
    secret_mac       BYTEA       NOT NULL,
    replaces_agent   UUID        REFERENCES agents (id) ON DELETE CASCADE,
    created_by       TEXT        NOT NULL,
    created_at       TIMESTAMPTZ NOT NULL,
    expires_at       TIMESTAMPTZ NOT NULL,
    max_uses         BIGINT      NOT NULL,
    uses             BIGINT      NOT NULL,
    labels           JSONB       NOT NULL,
    name_pattern     TEXT,
    networks         JSONB       NOT NULL,
    needs_approval   BOOLEAN     NOT NULL,
    revoked_at       TIMESTAMPTZ,
    revoke_reason    TEXT,
    last_used_at     TIMESTAMPTZ,
    last_used_from   TEXT
);
CREATE INDEX enrollment_tokens_expiry ON enrollment_tokens (expires_at);

CREATE TABLE enrollment_uses (
    token_id         TEXT        NOT NULL REFERENCES enrollment_tokens (id) ON DELETE CASCADE,
    key_digest       BYTEA       NOT NULL,
    agent_id         UUID        NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    at               TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (token_id, key_digest)
);
