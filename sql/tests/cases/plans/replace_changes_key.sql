CREATE STREAM orders (id BIGINT KEY, customer STRING, amount DECIMAL(10, 2), items ARRAY<STRING>, due TIMESTAMP) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE totals AS SELECT customer, COUNT(*) AS n FROM orders GROUP BY customer;
CREATE OR REPLACE TABLE totals AS SELECT customer AS who, COUNT(*) AS n FROM orders GROUP BY customer;
