-- One record per scheduled flight. Event time is the scheduled hour of departure, not the time of arrival here.
CREATE STREAM flights (
    flight_id STRING KEY,
    carrier STRING,
    flight INT,
    tailnum STRING,
    origin STRING,
    dest STRING,
    sched_dep_time INT,
    dep_delay INT,
    arr_delay INT,
    air_time INT,
    distance INT,
    time_hour STRING
) WITH (
    KAFKA_TOPIC = 'flights', PARTITIONS = 4, VALUE_FORMAT = 'JSON',
    TIMESTAMP = 'time_hour', TIMESTAMP_FORMAT = 'yyyy-MM-dd''T''HH:mm:ssX'
);

CREATE STREAM weather (
    origin STRING KEY,
    temp DOUBLE,
    wind_speed DOUBLE,
    precip DOUBLE,
    visib DOUBLE,
    time_hour STRING
) WITH (
    KAFKA_TOPIC = 'weather', PARTITIONS = 4, VALUE_FORMAT = 'JSON',
    TIMESTAMP = 'time_hour', TIMESTAMP_FORMAT = 'yyyy-MM-dd''T''HH:mm:ssX'
);
