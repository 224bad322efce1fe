CREATE TABLE customers (name STRING PRIMARY KEY, city STRING, region BIGINT) WITH (KAFKA_TOPIC='customers', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE regions (id BIGINT PRIMARY KEY, label STRING) WITH (KAFKA_TOPIC='regions', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE located AS SELECT c.name, r.label FROM customers c LEFT JOIN regions r ON c.region = r.id;
