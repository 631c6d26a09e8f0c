-- One row per moment with everybody's points in it, where there was one per point: a row's head and
-- its place in an index took ten times the space of a point. Nothing of before is kept.
DROP TABLE app.metric_points;
DROP TABLE app.metric_points_5m;
DROP TABLE app.metric_points_1h;

-- Points of an installation without ClickHouse, as they were read; the same place in each array is
-- the same point. Empty where there is a ClickHouse.
CREATE TABLE app.metric_points (
    at_s    bigint             NOT NULL PRIMARY KEY,
    series  bigint[]           NOT NULL,
    part    smallint[]         NOT NULL,
    amount  double precision[] NOT NULL,
    reached double precision[] NOT NULL,
    CHECK (cardinality(series) = cardinality(part) AND cardinality(series) = cardinality(amount)
           AND cardinality(series) = cardinality(reached))
);

-- Their whole steps of five minutes: how many points, the sum, least and greatest of their amounts,
-- what was reached last and when.
CREATE TABLE app.metric_points_5m (
    begins_s  bigint             NOT NULL PRIMARY KEY,
    series    bigint[]           NOT NULL,
    part      smallint[]         NOT NULL,
    samples   bigint[]           NOT NULL,
    total     double precision[] NOT NULL,
    low       double precision[] NOT NULL,
    high      double precision[] NOT NULL,
    last      double precision[] NOT NULL,
    last_at_s bigint[]           NOT NULL
);

-- Their whole steps of an hour, in the same way.
CREATE TABLE app.metric_points_1h (
    begins_s  bigint             NOT NULL PRIMARY KEY,
    series    bigint[]           NOT NULL,
    part      smallint[]         NOT NULL,
    samples   bigint[]           NOT NULL,
    total     double precision[] NOT NULL,
    low       double precision[] NOT NULL,
    high      double precision[] NOT NULL,
    last      double precision[] NOT NULL,
    last_at_s bigint[]           NOT NULL
);

GRANT SELECT, INSERT, DELETE
    ON app.metric_points, app.metric_points_5m, app.metric_points_1h TO "database";
