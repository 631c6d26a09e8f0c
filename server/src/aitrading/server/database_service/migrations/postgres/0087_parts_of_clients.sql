-- What an organisation sets for its installed clients, and what they tell beside ticks.

-- A setting of one device, or without a device of every one of the organisation. Values are JSON.
CREATE TABLE identity.device_settings (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    device_id  uuid,
    setting    text        NOT NULL CHECK (length(setting) BETWEEN 1 AND 128),
    value      text        NOT NULL CHECK (length(value) <= 8192),
    changed_at timestamptz NOT NULL,
    changed_by text        NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE NULLS NOT DISTINCT (tenant_id, device_id, setting),
    FOREIGN KEY (tenant_id, device_id) REFERENCES identity.devices (tenant_id, id) ON DELETE CASCADE
);
SELECT app.guard_tenant_table('identity.device_settings');
GRANT SELECT, INSERT, UPDATE, DELETE ON identity.device_settings TO identity;

-- The highest version that was ever signed for a device, and what the device said it uses.
CREATE TABLE identity.device_configurations (
    tenant_id    uuid        NOT NULL,
    device_id    uuid        NOT NULL,
    version      bigint      NOT NULL CHECK (version > 0),
    digest       text        NOT NULL,
    made_at      timestamptz NOT NULL,
    used_version bigint      NOT NULL CHECK (used_version >= 0),
    used_digest  text        NOT NULL,
    problem      text        NOT NULL CHECK (length(problem) <= 256),
    asked_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, device_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES identity.devices (tenant_id, id) ON DELETE CASCADE
);
SELECT app.guard_tenant_table('identity.device_configurations');
GRANT SELECT, INSERT, UPDATE ON identity.device_configurations TO identity;

-- How far the queue of a device was taken: what is at or below is stored, whoever sends it again.
CREATE TABLE market.device_queues (
    tenant_id     uuid        NOT NULL,
    device_id     uuid        NOT NULL,
    queue         uuid        NOT NULL,
    last_position bigint      NOT NULL,
    shed          bigint      NOT NULL DEFAULT 0 CHECK (shed >= 0),
    taken_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, device_id, queue)
);
SELECT app.guard_tenant_table('market.device_queues');
GRANT SELECT, INSERT, UPDATE ON market.device_queues TO "database";

-- Rules about prices that were broken on a client, and when they were kept again.
CREATE TABLE market.alerts (
    tenant_id     uuid        NOT NULL,
    id            uuid        NOT NULL,
    device_id     uuid        NOT NULL,
    symbol        text        NOT NULL CHECK (length(symbol) BETWEEN 1 AND 64),
    rule          text        NOT NULL CHECK (length(rule) BETWEEN 1 AND 128),
    what          text        NOT NULL CHECK (what IN ('spread', 'move', 'gap', 'silence')),
    value         numeric     NOT NULL,
    raised_at     timestamptz NOT NULL,
    cleared_at    timestamptz,
    cleared_value numeric,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
SELECT app.guard_tenant_table('market.alerts');
CREATE INDEX alerts_by_time ON market.alerts (tenant_id, raised_at, id);
CREATE INDEX alerts_recorded ON market.alerts (recorded_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON market.alerts TO "database";

-- News and entries of an economic calendar. The id is made of the content: whoever brings the same
-- thing, it is one row of the organisation.
CREATE TABLE market.news (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    device_id   uuid        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('news', 'economic_calendar')),
    source      text        NOT NULL CHECK (length(source) BETWEEN 1 AND 128),
    happens_at  timestamptz NOT NULL,
    title       text        NOT NULL CHECK (length(title) BETWEEN 1 AND 500),
    body        text        NOT NULL CHECK (length(body) <= 4000),
    url         text        NOT NULL CHECK (length(url) <= 1000),
    currency    text        NOT NULL CHECK (length(currency) <= 8),
    importance  smallint    NOT NULL CHECK (importance BETWEEN 0 AND 3),
    actual      text        NOT NULL CHECK (length(actual) <= 64),
    forecast    text        NOT NULL CHECK (length(forecast) <= 64),
    previous    text        NOT NULL CHECK (length(previous) <= 64),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
SELECT app.guard_tenant_table('market.news');
CREATE INDEX news_by_time ON market.news (tenant_id, happens_at, id);
CREATE INDEX news_recorded ON market.news (recorded_at);
GRANT SELECT, INSERT, DELETE ON market.news TO "database";
