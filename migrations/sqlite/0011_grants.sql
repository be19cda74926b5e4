CREATE TABLE roles (
    id          BLOB    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    folded      TEXT    NOT NULL,
    permissions TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX roles_folded ON roles (folded);

CREATE TABLE teams (
    id         BLOB    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    folded     TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX teams_folded ON teams (folded);

CREATE TABLE team_members (
    team_id   BLOB    NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    user_id   BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (team_id, user_id)
) STRICT;
CREATE INDEX team_members_user ON team_members (user_id);

-- To whom, what and where: a user or a team; a role of the hub's own by its
-- name, or one of the table above; in a group, with a label, in one
-- environment, or everywhere.
CREATE TABLE grants (
    id             BLOB    NOT NULL PRIMARY KEY,
    user_id        BLOB    REFERENCES users (id) ON DELETE CASCADE,
    team_id        BLOB    REFERENCES teams (id) ON DELETE CASCADE,
    role           TEXT,
    role_id        BLOB    REFERENCES roles (id),
    scope          TEXT    NOT NULL CHECK (scope IN ('everywhere', 'group', 'label', 'environment')),
    group_id       BLOB    REFERENCES environment_groups (id) ON DELETE CASCADE,
    label          TEXT,
    environment_id BLOB    REFERENCES environments (id) ON DELETE CASCADE,
    created_at     INTEGER NOT NULL,
    CHECK ((user_id IS NULL) <> (team_id IS NULL)),
    CHECK ((role IS NULL) <> (role_id IS NULL)),
    CHECK ((scope = 'group') = (group_id IS NOT NULL)),
    CHECK ((scope = 'label') = (label IS NOT NULL)),
    CHECK ((scope = 'environment') = (environment_id IS NOT NULL))
) STRICT;
CREATE INDEX grants_user ON grants (user_id);
CREATE INDEX grants_team ON grants (team_id);
CREATE INDEX grants_role ON grants (role_id);
CREATE INDEX grants_group ON grants (group_id);
CREATE INDEX grants_environment ON grants (environment_id);
