-- Keys of providers that one run alone uses: encrypted, and deleted when the run has ended.

CREATE TABLE run_keys (
    id     TEXT PRIMARY KEY,  -- inbox.key of the turn that they came with
    sealed BLOB NOT NULL,     -- JSON, encrypted
    at     INTEGER NOT NULL   -- when they came; microseconds since 1970, UTC
) WITHOUT ROWID;
