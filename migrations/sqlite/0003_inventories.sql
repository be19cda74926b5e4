CREATE TABLE inventories (
    environment_id BLOB    NOT NULL PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
    heard_at       INTEGER NOT NULL,
    reports        BLOB    NOT NULL
) STRICT;
