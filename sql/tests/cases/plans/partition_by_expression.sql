CREATE STREAM orders (id BIGINT KEY, customer STRING, amount DECIMAL(10, 2), items ARRAY<STRING>, due TIMESTAMP) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE STREAM by_initial AS SELECT SUBSTRING(customer, 1, 1) AS initial, id, amount FROM orders PARTITION BY SUBSTRING(customer, 1, 1);
