-- The keys that secrets are sealed with, themselves wrapped by a key that comes
-- from the master key. `emptied_at` is when nothing was sealed with one any more.
CREATE TABLE vault_keys (
    generation BIGINT      NOT NULL PRIMARY KEY,
    wrapped    BYTEA       NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    emptied_at TIMESTAMPTZ
);
