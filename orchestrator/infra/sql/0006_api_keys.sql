-- Keys of programs that call over HTTP. Only a digest of each is kept.

CREATE TABLE api_keys (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,  -- JSON: read, run, approve, admin
    digest     TEXT    NOT NULL UNIQUE,
    made_at    INTEGER NOT NULL,  -- microseconds since 1970, UTC, like the others
    made_by    TEXT    NOT NULL,  -- person key
    expires_at INTEGER,           -- NULL: never
    revoked_at INTEGER,           -- NULL: it was not
    per_minute INTEGER            -- requests; NULL: as many as the settings say
) WITHOUT ROWID;
CREATE UNIQUE INDEX api_keys_by_name ON api_keys (name) WHERE revoked_at IS NULL;
