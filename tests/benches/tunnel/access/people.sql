-- 10,000 users in 100 teams, 200 roles, 10,000 environments in 100 groups,
-- with 10,200 grants: everybody has one of their own and those of their team.
-- All have the administrator's password.
CREATE TEMP TABLE numbers AS
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 9999) SELECT n FROM numbers;

INSERT INTO users (id, name, role, password_hash, created_at, updated_at)
SELECT randomblob(16), printf('user-%05d', n), 'restricted', (SELECT password_hash FROM users LIMIT 1), n, n
FROM numbers;

INSERT INTO roles (id, name, folded, permissions, created_at)
SELECT randomblob(16), printf('role-%03d', n), printf('role-%03d', n),
    '["environments.view","containers.view","containers.logs","metrics.view"]', n
FROM numbers WHERE n < 200;

INSERT INTO teams (id, name, folded, created_at)
SELECT randomblob(16), printf('team-%02d', n), printf('team-%02d', n), n FROM numbers WHERE n < 100;

INSERT INTO team_members (team_id, user_id, joined_at)
SELECT teams.id, users.id, n FROM numbers
JOIN users ON users.name = printf('user-%05d', n)
JOIN teams ON teams.folded = printf('team-%02d', n % 100);

INSERT INTO environment_groups (id, name, folded, created_at)
SELECT randomblob(16), printf('group-%02d', n), printf('group-%02d', n), n FROM numbers WHERE n < 100;

INSERT INTO environments (id, name, kind, insecure, labels, group_id, created_at)
SELECT randomblob(16), printf('site-%05d', n), 'edge', 0, printf('{"rack":"%d","site":"s%d"}', n % 40, n % 500),
    environment_groups.id, n
FROM numbers JOIN environment_groups ON environment_groups.folded = printf('group-%02d', n % 100);

INSERT INTO agents (id, environment_id, state, key_digest, generation, ticket_current, hostname, os, arch, machine,
    enrolled_with, enrolled_at)
SELECT randomblob(16), id, 'active', randomblob(32), 1, 1, name, 'linux', 'amd64', randomblob(32), 'bench', created_at
FROM environments;

INSERT INTO grants (id, user_id, role_id, scope, label, created_at)
SELECT randomblob(16), users.id, roles.id, 'label', printf('site=s%d', n % 500), n FROM numbers
JOIN users ON users.name = printf('user-%05d', n)
JOIN roles ON roles.folded = printf('role-%03d', n % 200);

INSERT INTO grants (id, team_id, role_id, scope, group_id, created_at)
SELECT randomblob(16), teams.id, roles.id, 'group', environment_groups.id, n FROM numbers
JOIN teams ON teams.folded = printf('team-%02d', n % 100)
JOIN roles ON roles.folded = printf('role-%03d', n / 100)
JOIN environment_groups ON environment_groups.folded = printf('group-%02d', n % 100)
WHERE n < 200;
