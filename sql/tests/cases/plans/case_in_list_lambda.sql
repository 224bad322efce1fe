CREATE STREAM orders (id BIGINT KEY, customer STRING, amount DECIMAL(10, 2), items ARRAY<STRING>, due TIMESTAMP) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE STREAM mixed AS SELECT id, CASE customer WHEN 'a' THEN 1 ELSE amount END AS c, id IN (1, '2', 3.0) AS i, ARRAY[1, '2e1', id] AS a, due > '2020-01-01' AS late FROM orders;
