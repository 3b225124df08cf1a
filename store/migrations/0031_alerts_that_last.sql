-- Alerts and incidents that last are kept for as long as they do, and for 90 days more.

ALTER TABLE skew_alerts
    ADD COLUMN IF NOT EXISTS kept DateTime('UTC') DEFAULT toDateTime(at) COMMENT 'the row goes 90 days after it: at, or later where the alert lasts, whose newest row is written again each 30 days' CODEC(Delta(4), ZSTD(1));
ALTER TABLE skew_alerts MODIFY TTL kept + INTERVAL 90 DAY DELETE;

ALTER TABLE skew_incidents
    ADD COLUMN IF NOT EXISTS kept DateTime('UTC') DEFAULT toDateTime(at) COMMENT 'the row goes 90 days after it: at, or later where the incident lasts, whose row is written again each 30 days' CODEC(Delta(4), ZSTD(1));
ALTER TABLE skew_incidents MODIFY TTL kept + INTERVAL 90 DAY DELETE;
