CREATE TABLE environment_groups (
    id         UUID        NOT NULL PRIMARY KEY,
    name       TEXT        NOT NULL,
    folded     TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX environment_groups_folded ON environment_groups (folded);

ALTER TABLE environments ADD COLUMN group_id UUID REFERENCES environment_groups (id) ON DELETE SET NULL;
CREATE INDEX environments_group ON environments (group_id);
