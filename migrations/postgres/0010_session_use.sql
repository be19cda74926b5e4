ALTER TABLE sessions ADD COLUMN last_used_at TIMESTAMPTZ NOT NULL DEFAULT 'epoch';
UPDATE sessions SET last_used_at = created_at;
