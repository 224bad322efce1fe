//! Text, bytes, patterns, URLs, masks, hashes.

use crate::functions::tests::{check, refused};

#[test]
fn case_and_parts() {
    check("UCASE('aé')", "AÉ");
    check("LCASE('AÉ')", "aé");
    check("INITCAP('the   Quick br0wn fOx')", "The   Quick Br0wn Fox");
    check("TRIM('  a b  ')", "a b");
    check("LEN('añb')", "3");
    check("LEN('😀')", "2");
    check("SUBSTRING('stream', 1, 4)", "stre");
    check("SUBSTRING('stream', 2)", "tream");
    check("SUBSTRING('stream', 0, 2)", "st");
    check("SUBSTRING('stream', -3)", "eam");
    check("SUBSTRING('stream', 9)", "");
    check("SUBSTRING('stream', 2, -1)", "");
    check("SUBSTRING('a😀b', 4)", "b");
    check("LPAD('foo', 7, 'Bar')", "BarBfoo");
    check("RPAD('foo', 7, 'Bar')", "fooBarB");
    check("LPAD('foo', 2, 'Bar')", "fo");
    check("LPAD('foo', -1, 'Bar')", "null");
    check("RPAD('foo', 7, '')", "null");
    check("CHR(75)", "K");
    check("CHR('\\u004b')", "K");
    check("CHR('x')", "null");
    check("CHR(-1)", "null");
    check("REPLACE('foobar', 'foo', 'bar')", "barbar");
}

#[test]
fn search_and_choice() {
    check("INSTR('corporate floor', 'or')", "2");
    check("INSTR('corporate floor', 'or', 4)", "5");
    check("INSTR('corporate floor', 'or', 4, 2)", "14");
    check("INSTR('corporate floor', 'or', -3)", "5");
    check("INSTR('corporate floor', 'x')", "0");
    check("INSTR('a', 'a', 5)", "0");
    check("ELT(2, 'a', 'b')", "b");
    check("ELT(3, 'a', 'b')", "null");
    check("FIELD('b', 'a', 'b')", "2");
    check("FIELD('c', 'a', 'b')", "0");
}

#[test]
fn joining_and_splitting() {
    check("CONCAT('a', NULL, 'b')", "ab");
    check("'a' || 'b'", "ab");
    check("'a' + 'b'", "ab");
    check("CONCAT_WS(',', 'a', NULL, 'b')", "a,b");
    check("SPLIT('a$$b.c', '$$')", "[a, b.c]");
    check("SPLIT('abc', '')", "[a, b, c]");
    check("SPLIT('', ',')", "[]");
    check("ARRAY_LENGTH(SPLIT('', ','))", "1");
    check("SPLIT_TO_MAP('a:1/b:2/c', '/', ':')", "{a=1, b=2}");
    check("SPLIT_TO_MAP('a:1', '', ':')", "null");
    check("SPLIT(TO_BYTES('a,b', 'ascii'), TO_BYTES(',', 'ascii'))", "[YQ==, Yg==]");
}

#[test]
fn encodings() {
    check("ENCODE('4578616d706C6521', 'hex', 'utf8')", "Example!");
    check("ENCODE('X''4578''', 'hex', 'ascii')", "Ex");
    check("ENCODE('0x578616d706C6521', 'hex', 'base64')", "BXhhbXBsZSE=");
    check("ENCODE('578', 'hex', 'utf8')", "ERROR");
    check("ENCODE('a', 'utf8', 'utf8')", "ERROR");
    check("ENCODE('Example!', 'ascii', 'hex')", "4578616d706c6521");
    check("FROM_BYTES(TO_BYTES('kK', 'utf8'), 'hex')", "6B4B");
    check("INT_FROM_BYTES(TO_BYTES('AAAH5Q==', 'base64'))", "2021");
    check("BIGINT_FROM_BYTES(TO_BYTES('AAAAASoF8gA=', 'base64'))", "5000000000");
    check("BIGINT_FROM_BYTES(TO_BYTES('APIFKgEAAAA=', 'base64'), 'LITTLE_ENDIAN')", "5000000000");
    check("DOUBLE_FROM_BYTES(TO_BYTES('QICm/ZvJ9YI=', 'base64'))", "532.8738323");
    check("INT_FROM_BYTES(TO_BYTES('a', 'utf8'))", "ERROR");
    check("MD5('zero')", "d02c4c4cde7ae76252540d116a40f23a");
    check("LEN(UUID())", "36");
    check("UUID(TO_BYTES('a', 'utf8'))", "null");
}

#[test]
fn regular_expressions() {
    check("REGEXP_EXTRACT('test.', 'some_test_string')", "test_");
    check("REGEXP_EXTRACT('(.*) (.*)', 'hello there', 2)", "there");
    check("REGEXP_EXTRACT('x', 'hello')", "null");
    check("REGEXP_EXTRACT(LCASE('('), 'hello')", "ERROR");
    refused("REGEXP_EXTRACT('(', 'hello')", "is not a regular expression");
    refused("REGEXP_REPLACE('a', 'a(?=b)', '')", "is not a regular expression");
    check("REGEXP_EXTRACT_ALL('(\\w+) (\\w*)', 'a b c d', 2)", "[b, d]");
    check("REGEXP_EXTRACT_ALL('x', 'hello', 3)", "null");
    check("REGEXP_REPLACE('Lorem ipsum', '(\\w+) (\\w+)', '$2 $1')", "ipsum Lorem");
    check("REGEXP_SPLIT_TO_ARRAY('-a-b-', '-')", "[, a, b, ]");
    check("REGEXP_EXTRACT('\\w+', 'é1')", "1");
    check("REGEXP_REPLACE('aéB', '(?i)[A-B]', '')", "é");
    check("REGEXP_SPLIT_TO_ARRAY('1٣2', '\\D')", "[1, 2]");
    check("REGEXP_EXTRACT_ALL('(?U)\\w+', 'é a')", "[é, a]");
    check("REGEXP_SPLIT_TO_ARRAY('abc', '')", "[a, b, c]");
}

#[test]
fn like() {
    check("'one_two' LIKE '%two'", "true");
    check("'a_c' LIKE 'a!_c' ESCAPE '!'", "true");
    check("'abc' NOT LIKE 'a!_c' ESCAPE '!'", "true");
    check("CAST(NULL AS STRING) LIKE 'a'", "null");
}

#[test]
fn urls() {
    let url = "https://user@www.test.com:8080/a%20b/c?one=a%20x&two&q=1#frag";
    check(&format!("URL_EXTRACT_PROTOCOL('{url}')"), "https");
    check(&format!("URL_EXTRACT_HOST('{url}')"), "www.test.com");
    check(&format!("URL_EXTRACT_PORT('{url}')"), "8080");
    check(&format!("URL_EXTRACT_PATH('{url}')"), "/a b/c");
    check(&format!("URL_EXTRACT_QUERY('{url}')"), "one=a x&two&q=1");
    check(&format!("URL_EXTRACT_FRAGMENT('{url}')"), "frag");
    check(&format!("URL_EXTRACT_PARAMETER('{url}', 'one')"), "a x");
    check(&format!("URL_EXTRACT_PARAMETER('{url}', 'two')"), "");
    check(&format!("URL_EXTRACT_PARAMETER('{url}', 'x')"), "null");
    check("URL_EXTRACT_PORT('http://a.b/')", "null");
    check("URL_EXTRACT_HOST('http://a b')", "ERROR");
    check("URL_ENCODE_PARAM('url encoded/ä')", "url+encoded%2F%C3%A4");
    check("URL_DECODE_PARAM('url+encoded%2F%C3%A4')", "url encoded/ä");
    check("URL_DECODE_PARAM('%')", "ERROR");
}

#[test]
fn masks() {
    for part in ["PATH", "HOST", "PORT", "QUERY"] {
        check(&format!("URL_EXTRACT_{part}('mailto:a@b.c?subject=x#f')"), "null");
    }
    check("URL_EXTRACT_PARAMETER('mailto:a@b.c?subject=x', 'subject')", "null");
    check("URL_EXTRACT_PROTOCOL('urn:isbn:1#f')", "urn");
    check("URL_EXTRACT_FRAGMENT('urn:isbn:1#f')", "f");
    check("URL_EXTRACT_PATH('file:/a/b')", "/a/b");
    check("MASK('My Test $123')", "Xx-Xxxx--nnn");
    check("MASK('My Test $123', '*', NULL, '1', NULL)", "*y *est $111");
    check("MASK_LEFT('My Test $123', 4)", "Xx-Xest $123");
    check("MASK_RIGHT('My Test $123', 4)", "My Test -nnn");
    check("MASK_KEEP_LEFT('My Test $123', 4)", "My Txxx--nnn");
    check("MASK_KEEP_RIGHT('My Test $123', 4)", "Xx-Xxxx-$123");
    check("MASK_LEFT('My', -1)", "ERROR");
    // A character beyond the BMP counts and is masked as two units.
    check("MASK('a😀b')", "x--x");
    check("MASK_LEFT('😀ab', 3)", "--xb");
    check("MASK_KEEP_RIGHT('ab😀', 2)", "xx😀");
    check("MASK_RIGHT('a😀', 1)", "a--");
    check("MASK('😀', 'X', 'x', 'n', NULL)", "😀");
    check("MASK('My', 'XX', 'x', 'n', '-')", "ERROR");
}

#[test]
fn json() {
    check("EXTRACTJSONFIELD('{\"a\": {\"b\": [1, 2.50]}}', '$.a.b[1]')", "2.50");
    check("EXTRACTJSONFIELD('{\"a\": {\"b\": \"x\"}}', '$.a')", "{\"b\":\"x\"}");
    check("EXTRACTJSONFIELD('{\"a\": null}', '$.a')", "null");
    check("EXTRACTJSONFIELD('{\"a\": 1e5}', '$.a')", "1E+5");
    check("EXTRACTJSONFIELD('{', '$.a')", "ERROR");
    check("EXTRACTJSONFIELD('{\"@t\": \"x\"}}', '$.@t')", "x");
    check("IS_JSON_STRING('[1')", "false");
    check("IS_JSON_STRING('\"abc\"')", "true");
    check("JSON_ARRAY_CONTAINS('[1, \"a\"]', 1)", "true");
    check("JSON_ARRAY_CONTAINS('[1.0]', 1)", "false");
    check("JSON_ARRAY_CONTAINS('[1]', 1.0)", "false");
    check("JSON_ARRAY_CONTAINS('[1, 1.0]', 1.0)", "true");
    check("JSON_ARRAY_CONTAINS('[null]', NULL)", "true");
    check("JSON_ARRAY_LENGTH('[1, 2]')", "2");
    check("JSON_ARRAY_LENGTH('{}')", "null");
    check("JSON_CONCAT('{\"a\":1}', '{\"b\":2}')", "{\"a\":1,\"b\":2}");
    check("JSON_CONCAT('[1e3, -2.5E-3, 1.50]', '12e-1')", "[1000,-0.0025,1.50,1.2]");
    check("EXTRACTJSONFIELD('{\"a\":1e3}', '$.a')", "1E+3");
    check("JSON_CONCAT('[1]', '{\"a\":1}', '3')", "[1,{\"a\":1},3]");
    check("JSON_ITEMS('[1, {\"a\": [2]}]')", "[1, {\"a\":[2]}]");
    check("JSON_KEYS('{\"a\": 1, \"b\": 2}')", "[a, b]");
    check("JSON_RECORDS('{\"a\": \"x\", \"b\": [1]}')", "{a=x, b=[1]}");
    check("TO_JSON_STRING(STRUCT(B := 1, A := ARRAY['x', NULL]))", "{\"A\":[\"x\",null],\"B\":1}");
    check("TO_JSON_STRING(MAP('k' := 1.50))", "{\"k\":1.50}");
    check("TO_JSON_STRING(NULL)", "null");
}

#[test]
fn overloads() {
    refused("GREATEST()", "Function 'greatest' does not accept parameters ()");
    refused("GREATEST('a', 1)", "Function 'greatest' does not accept parameters (STRING, INTEGER)");
    refused(
        "GREATEST(1, 3000000000)",
        "cannot be resolved due to ambiguous method parameters (INTEGER, BIGINT)",
    );
    refused("LEAST(NULL, NULL)", "cannot be resolved due to ambiguous method parameters (null, null)");
    refused("WONT_FIND_ME(1)", "Can't find any functions with the name 'WONT_FIND_ME'");
    refused("UCASE(1)", "Function 'ucase' does not accept parameters (INTEGER)");
}
