-- Every series of the history of metrics (see metrics_history/series.py). The number is made from
-- the texts; ClickHouse, or the tables below, keep points by it. It concerns no tenant.
CREATE TABLE app.metric_series (
    id           bigint             NOT NULL PRIMARY KEY,
    service      text               NOT NULL CHECK (length(service) BETWEEN 1 AND 64),
    name         text               NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    kind         text               NOT NULL CHECK (kind IN ('counter', 'gauge', 'histogram')),
    labels       jsonb              NOT NULL,
    bounds       double precision[] NOT NULL,
    last_seen_on date               NOT NULL
);
CREATE INDEX metric_series_by_day ON app.metric_series (last_seen_on);
GRANT SELECT, INSERT, UPDATE, DELETE ON app.metric_series TO "database";

-- Points of an installation without ClickHouse, as they were read; one statement stores them and
-- adds them to the steps below. Empty where there is a ClickHouse.
CREATE TABLE app.metric_points (
    series  bigint           NOT NULL,
    part    smallint         NOT NULL,
    at_s    bigint           NOT NULL,
    amount  double precision NOT NULL,
    reached double precision NOT NULL,
    PRIMARY KEY (series, part, at_s)
);
CREATE INDEX metric_points_by_time ON app.metric_points USING brin (at_s);

-- Their steps of five minutes: how many points, the sum, least and greatest of their amounts, and
-- what was reached last. Half of each page is left free for the points that are yet to come.
CREATE TABLE app.metric_points_5m (
    series    bigint           NOT NULL,
    part      smallint         NOT NULL,
    begins_s  bigint           NOT NULL,
    samples   integer          NOT NULL,
    total     double precision NOT NULL,
    low       double precision NOT NULL,
    high      double precision NOT NULL,
    last      double precision NOT NULL,
    last_at_s bigint           NOT NULL,
    PRIMARY KEY (series, part, begins_s)
) WITH (fillfactor = 50);
CREATE INDEX metric_points_5m_by_time ON app.metric_points_5m USING brin (begins_s);

-- Their steps of an hour, in the same way.
CREATE TABLE app.metric_points_1h (
    series    bigint           NOT NULL,
    part      smallint         NOT NULL,
    begins_s  bigint           NOT NULL,
    samples   integer          NOT NULL,
    total     double precision NOT NULL,
    low       double precision NOT NULL,
    high      double precision NOT NULL,
    last      double precision NOT NULL,
    last_at_s bigint           NOT NULL,
    PRIMARY KEY (series, part, begins_s)
) WITH (fillfactor = 50);
CREATE INDEX metric_points_1h_by_time ON app.metric_points_1h USING brin (begins_s);

GRANT SELECT, INSERT, UPDATE, DELETE
    ON app.metric_points, app.metric_points_5m, app.metric_points_1h TO "database";
