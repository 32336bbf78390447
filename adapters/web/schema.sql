-- The page's own memory. `version` counts every change once, over all conversations.
CREATE TABLE IF NOT EXISTS counter (version INTEGER NOT NULL);
INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter);

CREATE TABLE IF NOT EXISTS conversations (
    key TEXT PRIMARY KEY,            -- ConversationRef.key
    slug TEXT NOT NULL UNIQUE,       -- its name in addresses
    title TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT '', -- the word on its latest status card
    created TEXT NOT NULL,
    updated TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS conversations_newest ON conversations (created);

CREATE TABLE IF NOT EXISTS messages (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    conversation TEXT NOT NULL REFERENCES conversations (key),
    version INTEGER NOT NULL,
    at TEXT NOT NULL,
    person_id TEXT,                  -- NULL: the bot
    person TEXT,                     -- Person as JSON
    text TEXT NOT NULL DEFAULT '',
    options TEXT NOT NULL DEFAULT '{}',
    uploads TEXT NOT NULL DEFAULT '[]',
    card_id TEXT,                    -- NULL: a person's message
    card TEXT,                       -- Card as JSON
    card_kind TEXT GENERATED ALWAYS AS (json_extract(card, '$.kind')) VIRTUAL,
    nonce TEXT NOT NULL,             -- of the form that was sent, or of the post
    delivered INTEGER NOT NULL       -- 0: the bot has not taken it yet
);
CREATE INDEX IF NOT EXISTS messages_changed ON messages (conversation, version);
CREATE INDEX IF NOT EXISTS messages_cards ON messages (conversation, card_id) WHERE card_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS messages_waiting ON messages (conversation) WHERE delivered = 0;
CREATE UNIQUE INDEX IF NOT EXISTS messages_once ON messages (person_id, nonce) WHERE person_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation TEXT NOT NULL,
    person_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS notices_of ON notices (conversation, person_id);

CREATE TABLE IF NOT EXISTS forms (
    conversation TEXT NOT NULL,
    person_id TEXT NOT NULL,
    form_id TEXT NOT NULL,
    form TEXT NOT NULL,              -- Form as JSON
    at TEXT NOT NULL,
    PRIMARY KEY (conversation, person_id, form_id)
);

CREATE TABLE IF NOT EXISTS sign_ins (
    digest TEXT PRIMARY KEY,         -- SHA-256 of the cookie
    person TEXT NOT NULL,
    stamp TEXT NOT NULL,             -- of the key that was given; another key ends it
    until TEXT NOT NULL
);
