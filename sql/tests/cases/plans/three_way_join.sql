CREATE STREAM orders (id BIGINT KEY, customer STRING, amount DECIMAL(10, 2), items ARRAY<STRING>, due TIMESTAMP) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE STREAM payments (id BIGINT KEY, paid DECIMAL(10, 2)) WITH (KAFKA_TOPIC='payments', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE customers (name STRING PRIMARY KEY, city STRING, region BIGINT) WITH (KAFKA_TOPIC='customers', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE STREAM three AS SELECT o.customer, o.id, p.paid, c.city FROM orders o JOIN payments p WITHIN 1 HOUR ON o.id = p.id LEFT JOIN customers c ON o.customer = c.name;
