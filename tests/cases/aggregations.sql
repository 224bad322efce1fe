--@test: counts and sums grow by key
CREATE STREAM s (k STRING KEY, v BIGINT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE TABLE t AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY k;
INSERT INTO s (k, v) VALUES ('a', 1);
INSERT INTO s (k, v) VALUES ('b', 10);
INSERT INTO s (k, v) VALUES ('a', 2);
ASSERT VALUES t (k, n, total) VALUES ('a', 1, 1);
ASSERT VALUES t (k, n, total) VALUES ('b', 1, 10);
ASSERT VALUES t (k, n, total) VALUES ('a', 2, 3);

--@test: a row that leaves HAVING becomes a tombstone
CREATE STREAM s (k STRING KEY, v BIGINT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE TABLE t AS SELECT k, SUM(v) AS total FROM s GROUP BY k HAVING SUM(v) > 0;
INSERT INTO s (k, v) VALUES ('a', 1);
INSERT INTO s (k, v) VALUES ('a', -1);
INSERT INTO s (k, v) VALUES ('a', 5);
ASSERT VALUES t (k, total) VALUES ('a', 1);
ASSERT NULL VALUES t (k) KEY ('a');
ASSERT VALUES t (k, total) VALUES ('a', 5);

--@test: grouping by another column regroups
CREATE STREAM s (k STRING KEY, colour STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE TABLE t AS SELECT colour, COUNT(*) AS n FROM s GROUP BY colour;
INSERT INTO s (k, colour) VALUES ('a', 'red');
INSERT INTO s (k, colour) VALUES ('b', NULL);
INSERT INTO s (k, colour) VALUES ('c', 'red');
ASSERT VALUES t (colour, n) VALUES ('red', 1);
ASSERT VALUES t (colour, n) VALUES ('red', 2);

--@test: a hopping window of too many windows per row is refused
--@expected.message: puts every row into 86400000 windows
CREATE STREAM s (k STRING KEY, v BIGINT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s WINDOW HOPPING (SIZE 1 DAY, ADVANCE BY 1 MILLISECOND) GROUP BY k;

--@test: as many windows per row as are possible
CREATE STREAM s (k STRING KEY, v BIGINT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s WINDOW HOPPING (SIZE 100 SECONDS, ADVANCE BY 1 MILLISECOND) GROUP BY k;
