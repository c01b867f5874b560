-- The tables of version 3, as databases of that version have them: never to be edited (test_storemigration.py).

CREATE TABLE arrivals (
    peer INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    helo TEXT,
    sender_domain TEXT,
    subject TEXT,
    fingerprint TEXT,
    good_sessions INTEGER NOT NULL,
    good_version INTEGER NOT NULL,
    good_at INTEGER NOT NULL,
    alarm TEXT,
    alarm_at INTEGER,
    PRIMARY KEY (peer)
);
CREATE TABLE message_kinds (
    id INTEGER NOT NULL,
    door TEXT NOT NULL,
    tls_version TEXT,
    cipher TEXT,
    keysize SMALLINT NOT NULL,
    certificate TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE messages (
    peer INTEGER NOT NULL,
    day INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (peer, day, kind)
)
 WITHOUT ROWID;
CREATE TABLE days (
    peer INTEGER NOT NULL,
    day INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    mails INTEGER NOT NULL,
    PRIMARY KEY (peer, day, kind)
)
 WITHOUT ROWID;
CREATE TABLE decisions (
    id INTEGER NOT NULL,
    at FLOAT NOT NULL,
    weight SMALLINT NOT NULL,
    first BLOB,
    last BLOB,
    who TEXT,
    name TEXT,
    action TEXT NOT NULL,
    rule TEXT NOT NULL,
    cause TEXT,
    level TEXT,
    until FLOAT,
    said TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE hellos (
    peer INTEGER NOT NULL,
    at INTEGER NOT NULL,
    hello TEXT NOT NULL,
    alert SMALLINT,
    PRIMARY KEY (peer)
);
CREATE TABLE kinds (
    id INTEGER NOT NULL,
    service TEXT NOT NULL,
    door TEXT NOT NULL,
    outcome TEXT NOT NULL,
    cause TEXT NOT NULL,
    tls_version TEXT,
    cipher TEXT,
    PRIMARY KEY (id)
);
CREATE TABLE peers (
    id INTEGER NOT NULL,
    ip BLOB NOT NULL,
    name TEXT,
    first_seen INTEGER,
    last_seen INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    mails INTEGER NOT NULL,
    proven SMALLINT NOT NULL,
    state TEXT NOT NULL,
    cause TEXT,
    reason TEXT,
    tls_version TEXT,
    conduct TEXT,
    PRIMARY KEY (id),
    UNIQUE (ip)
);
CREATE TABLE positions (
    source TEXT NOT NULL,
    position TEXT NOT NULL,
    open_sessions TEXT,
    at FLOAT NOT NULL,
    PRIMARY KEY (source)
);
CREATE TABLE steps (
    id INTEGER NOT NULL,
    at FLOAT NOT NULL,
    number INTEGER NOT NULL,
    first BLOB,
    last BLOB,
    event TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (number, at)
);
CREATE TABLE waivers (
    network TEXT NOT NULL,
    first BLOB,
    last BLOB,
    waiver TEXT NOT NULL,
    PRIMARY KEY (network)
);
CREATE INDEX decisions_by_peer ON decisions (first);
CREATE INDEX decisions_by_time ON decisions (at);
CREATE INDEX decisions_by_weight ON decisions (weight, at);
CREATE INDEX peers_by_time ON peers (proven, last_seen, state);
CREATE INDEX steps_by_peer ON steps (first);
CREATE INDEX steps_by_time ON steps (at);
CREATE INDEX waivers_by_address ON waivers (first);
CREATE INDEX waivers_of_networks ON waivers (first, last) WHERE first < last;
PRAGMA application_id = 1836338259;
PRAGMA user_version = 3;
