-- Who the user of a session is with the provider that signed them in, and which
-- of their sessions there it was. Null in those from before.
ALTER TABLE sessions ADD COLUMN provider_issuer TEXT;
ALTER TABLE sessions ADD COLUMN provider_subject TEXT;
ALTER TABLE sessions ADD COLUMN provider_session TEXT;

-- What providers said lately of sessions that ended there. Each counts once, and
-- ends what began before it came.
CREATE TABLE provider_logouts (
    digest           BYTEA       NOT NULL PRIMARY KEY,
    provider_id      UUID        NOT NULL REFERENCES identity_providers (id) ON DELETE CASCADE,
    issuer           TEXT        NOT NULL,
    subject          TEXT,
    provider_session TEXT,
    said_at          TIMESTAMPTZ NOT NULL,
    CHECK (subject IS NOT NULL OR provider_session IS NOT NULL)
);
CREATE INDEX provider_logouts_provider ON provider_logouts (provider_id);
CREATE INDEX provider_logouts_at ON provider_logouts (said_at);

-- What somebody is called there, to be shown and for nothing else.
ALTER TABLE linked_identities ADD COLUMN called TEXT;
