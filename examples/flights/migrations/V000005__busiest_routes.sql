SET 'auto.offset.reset' = 'earliest';

CREATE TABLE routes WITH (KEY_FORMAT = 'JSON') AS
    SELECT origin,
           dest,
           COUNT(*) AS flights,
           AVG(CAST(distance AS DOUBLE)) AS mean_distance,
           MAX(dep_delay) AS worst_delay
    FROM flights
    GROUP BY origin, dest
    EMIT CHANGES;
