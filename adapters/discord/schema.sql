-- What the Discord adapter must not lose. Discord keeps the messages; this is what came in and what we posted.

CREATE TABLE IF NOT EXISTS inbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,         -- the same thing delivered again has the same key
    lane TEXT NOT NULL,               -- rows of one lane are handed in in order
    kind TEXT NOT NULL,               -- see inbound.Arrival
    guild TEXT NOT NULL,              -- '@me' for direct messages
    payload TEXT NOT NULL,            -- as Discord sent it, JSON; once it is done, only who did it
    received REAL NOT NULL,           -- epoch seconds
    tries INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'done', 'given_up')),
    run_id TEXT NOT NULL DEFAULT ''   -- the run it became
);
CREATE INDEX IF NOT EXISTS inbox_new ON inbox (position) WHERE state = 'new';
CREATE INDEX IF NOT EXISTS inbox_old ON inbox (received) WHERE state <> 'new';
CREATE INDEX IF NOT EXISTS inbox_lane ON inbox (lane, position);

-- Threads the bot is in: replies there need no mention.
CREATE TABLE IF NOT EXISTS threads (
    thread TEXT PRIMARY KEY,          -- channel id of the thread; of a thread begun on a message: the message's id
    guild TEXT NOT NULL,
    channel TEXT NOT NULL,            -- the channel it hangs in
    bot_turns INTEGER NOT NULL DEFAULT 0,  -- turns by other bots since a person wrote last
    since REAL NOT NULL               -- epoch seconds of the newest message to the bot
);

-- Other bots that mention us in channels, each time for a thread of its own.
CREATE TABLE IF NOT EXISTS bots (
    channel TEXT NOT NULL,
    bot TEXT NOT NULL,                -- id of its user or webhook
    turns INTEGER NOT NULL,           -- mentions since a person wrote to us there last
    since REAL NOT NULL,              -- epoch seconds of the newest one that counted
    PRIMARY KEY (channel, bot)
);

-- How far each channel was read, so that what was written while the bot was away is found.
CREATE TABLE IF NOT EXISTS read_up_to (
    channel TEXT PRIMARY KEY,         -- a channel, a thread or a direct message's channel
    guild TEXT NOT NULL,
    message TEXT NOT NULL,            -- id of the newest message that was looked at
    at REAL NOT NULL
);

-- Cards that we posted.
CREATE TABLE IF NOT EXISTS posted (
    card_id TEXT PRIMARY KEY,
    conversation TEXT NOT NULL,       -- ConversationRef.key
    message TEXT NOT NULL,            -- id of the first message
    parts TEXT NOT NULL DEFAULT '[]', -- ids of further messages
    total INTEGER NOT NULL DEFAULT 1, -- messages begun; more than are named here: the last one's outcome is not known
    kind TEXT NOT NULL,               -- Card.kind
    stop_target TEXT NOT NULL DEFAULT '',  -- run id of its Stop button; '' when there is none now
    drawn TEXT NOT NULL DEFAULT '[]', -- digests of what its messages show; '[]': not known
    at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS posted_message ON posted (conversation, message);
CREATE INDEX IF NOT EXISTS posted_old ON posted (at);

-- Small facts: 'commands:<application>:<guild or "">' → digest of the commands that Discord knows.
CREATE TABLE IF NOT EXISTS facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
