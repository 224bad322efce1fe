--@test: filter keeps only rows for which the predicate is true
CREATE STREAM s (id INT KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM big AS SELECT id, v * 2 AS doubled FROM s WHERE v > 10;
INSERT INTO s (id, v) VALUES (1, 5);
INSERT INTO s (id, v) VALUES (2, 11);
INSERT INTO s (id) VALUES (3);
INSERT INTO s (id, v) VALUES (4, 20);
ASSERT VALUES big (id, doubled) VALUES (2, 22);
ASSERT VALUES big (id, doubled) VALUES (4, 40);

--@test: a failing expression costs the column of its row
CREATE STREAM s (id INT KEY, a INT, b INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, a / b AS quotient, a FROM s;
INSERT INTO s (id, a, b) VALUES (1, 6, 2);
INSERT INTO s (id, a, b) VALUES (2, 6, 0);
ASSERT VALUES q (id, quotient, a) VALUES (1, 3, 6);
ASSERT VALUES q (id, quotient, a) VALUES (2, NULL, 6);

--@test: unknown columns are refused
--@expected.error: io.confluent.ksql.util.KsqlException
--@expected.message: cannot be resolved
CREATE STREAM s (id INT KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, nope FROM s;

--@test: decimals are exact
CREATE STREAM s (id INT KEY, price DECIMAL(6, 2)) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, price * CAST('1.1' AS DECIMAL(2, 1)) AS gross FROM s;
INSERT INTO s (id, price) VALUES (1, 0.10);
ASSERT VALUES q (id, gross) VALUES (1, 0.110);
