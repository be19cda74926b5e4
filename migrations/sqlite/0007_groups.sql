CREATE TABLE environment_groups (
    id         BLOB    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    folded     TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX environment_groups_folded ON environment_groups (folded);

ALTER TABLE environments ADD COLUMN group_id BLOB REFERENCES environment_groups (id) ON DELETE SET NULL;
CREATE INDEX environments_group ON environments (group_id);
