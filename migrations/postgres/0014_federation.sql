-- Who else knows users. `configuration` is what the kind needs; the secret
-- stands beside it, sealed for its row.
CREATE TABLE identity_providers (
    id                        UUID        NOT NULL PRIMARY KEY,
    kind                      TEXT        NOT NULL,
    name                      TEXT        NOT NULL,
    slug                      TEXT        NOT NULL,
    enabled                   BOOLEAN     NOT NULL,
    create_users              BOOLEAN     NOT NULL,
    trusted_for_second_factor BOOLEAN     NOT NULL,
    required_group            TEXT,
    configuration             JSONB       NOT NULL,
    client_secret_sealed      BYTEA,
    created_at                TIMESTAMPTZ NOT NULL,
    updated_at                TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX identity_providers_slug ON identity_providers (slug);

-- Somebody is who they are by issuer and subject, and by nothing else.
CREATE TABLE linked_identities (
    id           UUID        NOT NULL PRIMARY KEY,
    provider_id  UUID        NOT NULL REFERENCES identity_providers (id) ON DELETE CASCADE,
    issuer       TEXT        NOT NULL,
    subject      TEXT        NOT NULL,
    user_id      UUID        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    linked_at    TIMESTAMPTZ NOT NULL,
    last_used_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX linked_identities_subject ON linked_identities (issuer, subject);
CREATE INDEX linked_identities_provider ON linked_identities (provider_id);
CREATE INDEX linked_identities_user ON linked_identities (user_id);

-- Role and place are as in grants.
CREATE TABLE provider_mappings (
    id             UUID        NOT NULL PRIMARY KEY,
    provider_id    UUID        NOT NULL REFERENCES identity_providers (id) ON DELETE CASCADE,
    value          TEXT        NOT NULL,
    role           TEXT,
    role_id        UUID        REFERENCES roles (id),
    scope          TEXT        NOT NULL CHECK (scope IN ('everywhere', 'group', 'label', 'environment')),
    group_id       UUID        REFERENCES environment_groups (id) ON DELETE CASCADE,
    label          TEXT,
    environment_id UUID        REFERENCES environments (id) ON DELETE CASCADE,
    CHECK ((role IS NULL) <> (role_id IS NULL)),
    CHECK ((scope = 'group') = (group_id IS NOT NULL)),
    CHECK ((scope = 'label') = (label IS NOT NULL)),
    CHECK ((scope = 'environment') = (environment_id IS NOT NULL))
);
CREATE INDEX provider_mappings_provider ON provider_mappings (provider_id);
CREATE INDEX provider_mappings_role ON provider_mappings (role_id);
CREATE INDEX provider_mappings_group ON provider_mappings (group_id);
CREATE INDEX provider_mappings_environment ON provider_mappings (environment_id);

-- Attempts to sign in that came back: none comes back twice.
CREATE TABLE spent_sign_ins (
    digest   BYTEA       NOT NULL PRIMARY KEY,
    spent_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX spent_sign_ins_at ON spent_sign_ins (spent_at);

-- What a provider's mapping granted; null where somebody did.
ALTER TABLE grants ADD COLUMN provider_id UUID REFERENCES identity_providers (id) ON DELETE CASCADE;
CREATE INDEX grants_provider ON grants (provider_id);

-- By whom the user of a session was known; null where by their password.
ALTER TABLE sessions ADD COLUMN provider_id UUID REFERENCES identity_providers (id) ON DELETE SET NULL;
CREATE INDEX sessions_provider ON sessions (provider_id);
