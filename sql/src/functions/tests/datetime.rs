//! Dates and times.

use crate::functions::datetime::pattern::TimePattern;
use crate::functions::datetime::zone::Zone;
use crate::functions::tests::check;

#[test]
fn arithmetic() {
    check("DATEADD(DAYS, 10, CAST('2020-02-25' AS DATE))", "2020-03-06");
    check("DATESUB(DAY, 1, CAST('2020-03-01' AS DATE))", "2020-02-29");
    check("DATEADD(HOURS, 25, CAST('2020-02-25' AS DATE))", "2020-02-26");
    check("TIMEADD(MINUTES, 2, CAST('23:59' AS TIME))", "00:01");
    check("TIMESUB(SECONDS, 1, CAST('00:00' AS TIME))", "23:59:59");
    check("TIMESTAMPADD(MILLISECONDS, 5, CAST('2020' AS TIMESTAMP))", "2020-01-01T00:00:00.005");
    check("TIMESTAMPSUB(HOURS, 1, CAST('2020' AS TIMESTAMP))", "2019-12-31T23:00:00.000");
    check(
        "CONVERT_TZ(FROM_UNIXTIME(1589234313000), 'America/Los_Angeles', 'America/New_York')",
        "2020-05-12T00:58:33.000",
    );
    check("CONVERT_TZ(FROM_UNIXTIME(0), 'Mars/Base', 'UTC')", "ERROR");
    check("FROM_DAYS(-1)", "1969-12-31");
    check("UNIX_DATE()", "19675");
    check("UNIX_DATE(FROM_DAYS(7))", "7");
    check("UNIX_TIMESTAMP()", "1700000000000");
    check("UNIX_TIMESTAMP(FROM_UNIXTIME(5))", "5");
}

#[test]
fn formatting() {
    check("FORMAT_DATE(FROM_DAYS(18993), 'dd-MMM-yyyy')", "01-Jan-2022");
    check("FORMAT_DATE(FROM_DAYS(0), 'HH')", "ERROR");
    check("FORMAT_TIME(CAST('01:02:03' AS TIME), 'HHmmss''AAA''')", "010203AAA");
    check("FORMAT_TIME(CAST('01:02' AS TIME), 'yyyy')", "ERROR");
    check(
        "FORMAT_TIMESTAMP(FROM_UNIXTIME(1526075913000), 'yyyy-MM-dd HH:mm:ss zzz', 'America/Los_Angeles')",
        "2018-05-11 14:58:33 PDT",
    );
    check("FORMAT_TIMESTAMP(FROM_UNIXTIME(0), 'EEEE, d MMMM uu hh a X')", "Thursday, 1 January 70 12 AM Z");
    check("TIMESTAMPTOSTRING(1526075913123, 'yyyy-MM-dd HH:mm:ss.SSS')", "2018-05-11 21:58:33.123");
    check("DATETOSTRING(17662, 'yyyy-MM-dd')", "2018-05-11");
}

#[test]
fn parsing() {
    check("PARSE_DATE('11/05/2019', 'dd/MM/yyyy')", "2019-05-11");
    check("PARSE_DATE('2019-13-01', 'yyyy-MM-dd')", "2020-01-01");
    check("PARSE_DATE('20190511xyz', 'yyyyMMdd')", "2019-05-11");
    check("PARSE_DATE('01-Jan-22', 'dd-MMM-yy')", "2022-01-01");
    check("PARSE_DATE('2004', 'yyyy-MM-dd')", "ERROR");
    check("PARSE_DATE('2004-01-01 10', 'yyyy-MM-dd HH')", "ERROR");
    check("PARSE_TIME('01:00:00 Pm', 'hh:mm:ss a')", "13:00");
    check("PARSE_TIME('2000', 'yyyy')", "ERROR");
    check(
        "PARSE_TIMESTAMP('2019-08-27T13:31:09.2+0000', 'yyyy-MM-dd''T''HH:mm:ss.SX')",
        "2019-08-27T13:31:09.200",
    );
    check("PARSE_TIMESTAMP('05:30', 'HH:mm', 'Asia/Kolkata')", "1970-01-01T00:00:00.000");
    check("PARSE_TIMESTAMP('x', 'yyyy')", "ERROR");
    check("STRINGTODATE('2018-05-11Lit', 'yyyy-MM-dd''Lit''')", "17662");
    check("STRINGTOTIMESTAMP('2018-05-11T21:58:33Z', 'yyyy-MM-dd''T''HH:mm:ssX')", "1526075913000");
}

#[test]
fn patterns_write_what_they_read() {
    let zone = Zone::parse("Europe/Berlin").expect("a zone");
    let patterns = [
        "yyyy-MM-dd HH:mm:ss.SSS",
        "yyyyMMddHHmmssSSS",
        "EEE, d MMM yyyy h:mm:ss.SSS a",
        "uuuu-DDD'T'HH.mm.ss.SSSXXX",
        "yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSSZ",
        "d/M/yy k:m:s SSS VV",
    ];
    for text in patterns {
        let pattern = TimePattern::new(text).expect("valid");
        for ms in [0, 1_526_075_913_123, 951_782_400_000, 1_583_020_799_999] {
            let written = pattern.format_timestamp(ms, zone).expect("all fields are there");
            // Two-digit years are those from 2000 on.
            if text.contains("/yy ") && ms == 0 {
                continue;
            }
            assert_eq!(pattern.parse_timestamp(&written, zone), Ok(ms), "{text}: {written}");
        }
    }
}

#[test]
fn patterns_are_checked() {
    let check = |pattern: &str, text: &str, expected: Option<i64>| {
        let parsed = TimePattern::new(pattern).ok().and_then(|p| p.parse_timestamp(text, Zone::UTC).ok());
        assert_eq!(parsed, expected, "{pattern} {text}");
    };
    check("yyyy-MM-dd['T'HH:mm]", "1970-01-02", Some(86_400_000));
    check("yyyy-MM-dd['T'HH:mm]", "1970-01-02T00:01", Some(86_460_000));
    check("yyyy-MM-dd", "1970-02-31", Some(58 * 86_400_000));
    check("yyyy-MM-dd", "1970-2-3", None);
    check("yyyy-MM-dd", "1970-02-32", None);
    check("yyyy-MM-dd", "1970-02-01 ", None);
    check("E yyyy-MM-dd", "Fri 1970-01-01", None);
    check("E yyyy-MM-dd", "thu 1970-01-01", Some(0));
    check("HH:mm:ss", "24:00:00", None);
    check("yyyy 'of''s'", "1970 of's", Some(0));
    for bad in ["'", "b", "yyyy-MM-dd]", "HHH", "V", "{"] {
        assert!(TimePattern::new(bad).is_err(), "{bad}");
    }
}
