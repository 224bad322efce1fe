CREATE STREAM orders (id BIGINT KEY, customer STRING, amount DECIMAL(10, 2)) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=4);
INSERT INTO orders (id, customer) VALUES ('1', 'a');
