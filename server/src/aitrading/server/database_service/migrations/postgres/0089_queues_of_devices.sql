-- A device that invents queues keeps a few: the oldest are forgotten, and what they held is known by its id.
GRANT DELETE ON market.device_queues TO "database";
