-- When the user of a session last proved that it is they: at its sign-in, or
-- since. Sessions from before have yet to.
ALTER TABLE sessions ADD COLUMN confirmed_at INTEGER NOT NULL DEFAULT 0;
