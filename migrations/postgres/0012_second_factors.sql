-- `last_step` is the 30 seconds whose code was accepted last; no code of them
-- or of earlier ones is accepted again.
CREATE TABLE second_factors (
    user_id       UUID        NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret_sealed BYTEA       NOT NULL,
    last_step     BIGINT      NOT NULL,
    begun_at      TIMESTAMPTZ NOT NULL,
    confirmed_at  TIMESTAMPTZ
);

CREATE TABLE recovery_codes (
    user_id   UUID        NOT NULL REFERENCES second_factors (user_id) ON DELETE CASCADE,
    code_hash BYTEA       NOT NULL,
    used_at   TIMESTAMPTZ,
    PRIMARY KEY (user_id, code_hash)
);
