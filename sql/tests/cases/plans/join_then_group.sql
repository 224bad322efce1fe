CREATE STREAM orders (id BIGINT KEY, customer STRING, amount DECIMAL(10, 2), items ARRAY<STRING>, due TIMESTAMP) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE customers (name STRING PRIMARY KEY, city STRING, region BIGINT) WITH (KAFKA_TOPIC='customers', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE per_city AS SELECT c.city AS city, SUM(o.amount) AS total FROM orders o JOIN customers c ON o.customer = c.name GROUP BY c.city;
