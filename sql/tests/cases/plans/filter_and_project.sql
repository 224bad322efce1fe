CREATE STREAM orders (id BIGINT KEY, customer STRING, amount DECIMAL(10, 2), items ARRAY<STRING>, due TIMESTAMP) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE STREAM big AS SELECT id, UCASE(customer) AS who, amount * 2 AS twice FROM orders WHERE amount > 100 AND customer LIKE 'A%';
