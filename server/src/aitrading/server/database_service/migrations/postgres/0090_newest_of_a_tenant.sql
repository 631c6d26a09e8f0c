-- What keeps the newest of one organisation reads its rows alone.
DROP INDEX market.alerts_recorded;
DROP INDEX market.news_recorded;
CREATE INDEX alerts_recorded ON market.alerts (tenant_id, recorded_at, id);
CREATE INDEX news_recorded ON market.news (tenant_id, recorded_at, id);
