CREATE STREAM orders (id BIGINT KEY, customer STRING, amount DECIMAL(10, 2), items ARRAY<STRING>, due TIMESTAMP) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE customers (name STRING PRIMARY KEY, city STRING, region BIGINT) WITH (KAFKA_TOPIC='customers', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE totals AS SELECT customer, SUM(amount) AS total FROM orders GROUP BY customer;
CREATE TABLE places AS SELECT * FROM customers;
SELECT p.city, SUM(t.total) AS s, COUNT(*) FROM totals t JOIN places p ON t.customer = p.name WHERE t.total > 0 GROUP BY p.city HAVING SUM(t.total) > 10 ORDER BY s DESC LIMIT 5 OFFSET 2;
