-- What was recorded before has no place in the chain.
ALTER TABLE audit ADD COLUMN seq BIGINT;
ALTER TABLE audit ADD COLUMN hash BYTEA;
CREATE UNIQUE INDEX audit_seq ON audit (seq);

-- The end of the chain, in one row that the first record makes.
CREATE TABLE audit_head (
    id          BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seq         BIGINT NOT NULL,
    hash        BYTEA  NOT NULL,
    anchor_seq  BIGINT NOT NULL,
    anchor_hash BYTEA  NOT NULL,
    unchained   BIGINT NOT NULL,
    mac         BYTEA  NOT NULL
);
