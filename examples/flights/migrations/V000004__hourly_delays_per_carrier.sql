SET 'auto.offset.reset' = 'earliest';

-- Cancelled flights have no delay: they count as flights and not into the mean.
CREATE TABLE carrier_delays AS
    SELECT carrier,
           COUNT(*) AS flights,
           COUNT(dep_delay) AS departed,
           AVG(CAST(dep_delay AS DOUBLE)) AS mean_delay,
           MAX(dep_delay) AS worst_delay
    FROM flights
    WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 60 DAYS, GRACE PERIOD 31 DAYS)
    GROUP BY carrier
    EMIT CHANGES;
