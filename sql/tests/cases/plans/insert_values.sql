CREATE STREAM orders (id BIGINT KEY, customer STRING, amount DECIMAL(10, 2), items ARRAY<STRING>, due TIMESTAMP) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=4);
INSERT INTO orders (id, customer, amount, due) VALUES (1, 'a' + 'b', 1.5, '2020-01-01T00:00:00');
