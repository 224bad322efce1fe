CREATE STREAM orders (id BIGINT KEY, customer STRING, amount DECIMAL(10, 2), items ARRAY<STRING>, due TIMESTAMP) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE per_pair WITH (KEY_FORMAT='JSON') AS SELECT customer, LEN(customer) AS l, MAX(amount) AS m FROM orders GROUP BY customer, LEN(customer) HAVING COUNT(*) > 1;
