--@test: + joins a text with the text null where it meets one NULL
CREATE STREAM s (id INT KEY, a STRING, b STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, a + b AS plus, a || b AS bars FROM s;
INSERT INTO s (id, a, b) VALUES (1, 'x', 'y');
INSERT INTO s (id, a) VALUES (2, 'x');
INSERT INTO s (id, b) VALUES (3, 'y');
INSERT INTO s (id) VALUES (4);
ASSERT VALUES q (id, plus, bars) VALUES (1, 'xy', 'xy');
ASSERT VALUES q (id, plus, bars) VALUES (2, 'xnull', 'x');
ASSERT VALUES q (id, plus, bars) VALUES (3, 'nully', 'y');
ASSERT VALUES q (id, plus, bars) VALUES (4, NULL, '');

--@test: rounding may carry a decimal into a further digit
CREATE STREAM s (id INT KEY, d DECIMAL(2, 1)) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, CAST(CEIL(d) AS STRING) AS up, CAST(ROUND(d) AS STRING) AS round FROM s;
INSERT INTO s (id, d) VALUES (1, 9.5);
INSERT INTO s (id, d) VALUES (2, 1.2);
ASSERT VALUES q (id, up, round) VALUES (1, '10.0', '10');
ASSERT VALUES q (id, up, round) VALUES (2, '2.0', '1');

--@test: classes of regular expressions are ASCII
CREATE STREAM s (id INT KEY, t STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, REGEXP_EXTRACT('\w+', t) AS word, REGEXP_REPLACE(t, '(?i)[^a-z]', '') AS letters FROM s;
INSERT INTO s (id, t) VALUES (1, 'éabÉc');
ASSERT VALUES q (id, word, letters) VALUES (1, 'ab', 'abc');

--@test: a NULL array contains nothing
CREATE STREAM s (id INT KEY, a ARRAY<INT>) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, 1 AS one FROM s WHERE NOT ARRAY_CONTAINS(a, 1);
INSERT INTO s (id, a) VALUES (1, ARRAY[1, 2]);
INSERT INTO s (id, a) VALUES (2, ARRAY[2]);
INSERT INTO s (id) VALUES (3);
ASSERT VALUES q (id, one) VALUES (2, 1);
ASSERT VALUES q (id, one) VALUES (3, 1);

--@test: a decimal equals no whole number of a JSON array
CREATE STREAM s (id INT KEY, j STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, JSON_ARRAY_CONTAINS(j, 1.0) AS found, JSON_CONCAT(j, '[2e2]') AS both FROM s;
INSERT INTO s (id, j) VALUES (1, '[1]');
INSERT INTO s (id, j) VALUES (2, '[1.0]');
ASSERT VALUES q (id, found, both) VALUES (1, FALSE, '[1,200]');
ASSERT VALUES q (id, found, both) VALUES (2, TRUE, '[1.0,200]');

--@test: an opaque URL has no path
CREATE STREAM s (id INT KEY, u STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, URL_EXTRACT_PATH(u) AS path, URL_EXTRACT_PROTOCOL(u) AS scheme FROM s;
INSERT INTO s (id, u) VALUES (1, 'mailto:ada@example.org');
INSERT INTO s (id, u) VALUES (2, 'http://example.org/a');
ASSERT VALUES q (id, path, scheme) VALUES (1, NULL, 'mailto');
ASSERT VALUES q (id, path, scheme) VALUES (2, '/a', 'http');

--@test: masks count UTF-16 units
CREATE STREAM s (id INT KEY, t STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, MASK_LEFT(t, 3) AS masked FROM s;
INSERT INTO s (id, t) VALUES (1, '😀ab');
ASSERT VALUES q (id, masked) VALUES (1, '--xb');

--@test: a sink without a key keeps the key format, and lists former keys last
CREATE STREAM s (id INT KEY, a INT, b INT) WITH (KAFKA_TOPIC='s', FORMAT='JSON');
CREATE STREAM q WITH (VALUE_FORMAT='DELIMITED') AS SELECT * FROM s PARTITION BY NULL;
CREATE STREAM r (line STRING) WITH (KAFKA_TOPIC='Q', VALUE_FORMAT='KAFKA');
CREATE STREAM lines AS SELECT line FROM r;
INSERT INTO s (id, a, b) VALUES (1, 2, 3);
ASSERT VALUES lines (line) VALUES ('2,3,1');

--@test: an inserted map may have a null key
CREATE STREAM s (id INT KEY, m MAP<STRING, INT>) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, m['null'] AS n FROM s;
INSERT INTO s (id, m) VALUES (1, MAP(CAST(NULL AS STRING) := 7));
ASSERT VALUES q (id, n) VALUES (1, 7);

--@test: a text that is too long costs its row
CREATE STREAM s (id INT KEY, n INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
CREATE STREAM q AS SELECT id, LEN(LPAD('', n, 'x')) AS l FROM s;
INSERT INTO s (id, n) VALUES (1, 1000000);
INSERT INTO s (id, n) VALUES (2, 2000000000);
ASSERT VALUES q (id, l) VALUES (1, 1000000);
ASSERT VALUES q (id, l) VALUES (2, NULL);
