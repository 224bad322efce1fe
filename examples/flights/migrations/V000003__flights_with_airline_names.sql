SET 'auto.offset.reset' = 'earliest';

CREATE STREAM flights_enriched AS
    SELECT f.carrier AS carrier,
           f.flight_id AS flight_id,
           a.name AS airline,
           f.origin AS origin,
           f.dest AS dest,
           f.dep_delay AS dep_delay,
           f.distance AS distance
    FROM flights f
    LEFT JOIN airlines a ON f.carrier = a.carrier
    EMIT CHANGES;
