CREATE TYPE address AS STRUCT<street STRING, zip INT>;
CREATE STREAM people (id INT KEY, home address) WITH (KAFKA_TOPIC='people', FORMAT='JSON', PARTITIONS=1, TIMESTAMP='home');
