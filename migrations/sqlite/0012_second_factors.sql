-- `last_step` is the 30 seconds whose code was accepted last; no code of them
-- or of earlier ones is accepted again.
CREATE TABLE second_factors (
    user_id       BLOB    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret_sealed BLOB    NOT NULL,
    last_step     INTEGER NOT NULL,
    begun_at      INTEGER NOT NULL,
    confirmed_at  INTEGER
) STRICT;

CREATE TABLE recovery_codes (
    user_id   BLOB    NOT NULL REFERENCES second_factors (user_id) ON DELETE CASCADE,
    code_hash BLOB    NOT NULL,
    used_at   INTEGER,
    PRIMARY KEY (user_id, code_hash)
) STRICT;
