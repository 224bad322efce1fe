--@test: a stream row sees the table as it is
CREATE STREAM orders (id INT KEY, item STRING) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON');
CREATE TABLE items (item STRING PRIMARY KEY, price INT) WITH (KAFKA_TOPIC='items', VALUE_FORMAT='JSON');
CREATE STREAM priced AS SELECT o.item AS item, id, price FROM orders o LEFT JOIN items i ON o.item = i.item;
INSERT INTO orders (id, item) VALUES (1, 'pen');
INSERT INTO items (item, price) VALUES ('pen', 3);
INSERT INTO orders (id, item) VALUES (2, 'pen');
INSERT INTO items (item, price) VALUES ('pen', 4);
INSERT INTO orders (id, item) VALUES (3, 'pen');
ASSERT VALUES priced (item, id, price) VALUES ('pen', 1, NULL);
ASSERT VALUES priced (item, id, price) VALUES ('pen', 2, 3);
ASSERT VALUES priced (item, id, price) VALUES ('pen', 3, 4);

--@test: tables join on their keys
CREATE TABLE a (k INT PRIMARY KEY, x STRING) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON');
CREATE TABLE b (k INT PRIMARY KEY, y STRING) WITH (KAFKA_TOPIC='b', VALUE_FORMAT='JSON');
CREATE TABLE ab AS SELECT a.k AS k, x, y FROM a JOIN b ON a.k = b.k;
INSERT INTO a (k, x) VALUES (1, 'x1');
INSERT INTO b (k, y) VALUES (1, 'y1');
INSERT INTO a (k, x) VALUES (1, 'x2');
ASSERT VALUES ab (k, x, y) VALUES (1, 'x1', 'y1');
ASSERT VALUES ab (k, x, y) VALUES (1, 'x2', 'y1');
