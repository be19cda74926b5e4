CREATE TABLE inventories (
    environment_id UUID        NOT NULL PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
    heard_at       TIMESTAMPTZ NOT NULL,
    reports        BYTEA       NOT NULL
);
