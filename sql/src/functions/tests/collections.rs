//! Arrays, maps, structs and lambdas.

use crate::functions::tests::check;

#[test]
fn constructors_and_access() {
    check("ARRAY[1, 2, 3][1]", "1");
    check("ARRAY[1, 2, 3][-1]", "3");
    check("ARRAY[1, 2, 3][0]", "null");
    check("ARRAY[1, 2, 3][4]", "null");
    check("MAP('a' := 1, 'b' := 2)['b']", "2");
    check("MAP('a' := 1)['x']", "null");
    check("MAP('a' := 1, 'a' := 2)", "{a=2}");
    check("STRUCT(A := 1, B := 'x')->B", "x");
}

#[test]
fn arrays() {
    check("ARRAY_LENGTH(ARRAY[1, NULL])", "2");
    check("ARRAY_CONTAINS(ARRAY['a', NULL], 'a')", "true");
    check("ARRAY_CONTAINS(CAST(NULL AS ARRAY<INT>), 1)", "false");
    check("NOT ARRAY_CONTAINS(CAST(NULL AS ARRAY<INT>), 1)", "true");
    check("ARRAY_DISTINCT(ARRAY[1, NULL, 1, NULL])", "[1, null]");
    check("ARRAY_EXCEPT(ARRAY[0, 0, 1, -1], ARRAY[1])", "[0, -1]");
    check("ARRAY_INTERSECT(ARRAY['foo', 'bar', 'foo'], ARRAY['foo', 'baz'])", "[foo]");
    check("ARRAY_UNION(ARRAY['foo', 'bar', 'foo'], ARRAY['foo', 'baz'])", "[foo, bar, baz]");
    check("ARRAY_CONCAT(ARRAY[1], ARRAY[1, 2])", "[1, 1, 2]");
    check("ARRAY_CONCAT(CAST(NULL AS ARRAY<INT>), ARRAY[1, 2])", "[1, 2]");
    check("ARRAY_JOIN(ARRAY[1.5E0, NULL], '|')", "1.5|null");
    check("ARRAY_JOIN(ARRAY[1, 2])", "1,2");
    check("ARRAY_JOIN(ARRAY[ARRAY[1]])", "ERROR");
    check("ARRAY_MAX(ARRAY[1, NULL, 3])", "3");
    check("ARRAY_MIN(ARRAY['b', 'a'])", "a");
    check("ARRAY_REMOVE(ARRAY[1, 2, 1], 1)", "[2]");
    check("ARRAY_SORT(ARRAY[3, NULL, 1])", "[1, 3, null]");
    check("ARRAY_SORT(ARRAY[3, NULL, 1], 'Desc')", "[3, 1, null]");
    check("ARRAY_SORT(ARRAY[3], 'sideways')", "null");
    check("SLICE(ARRAY['a', 'b', 'c', 'd'], 2, 3)", "[b, c]");
    check("SLICE(ARRAY['a', 'b'], NULL, 1)", "[a]");
    check("SLICE(ARRAY['a', 'b'], 1, 5)", "null");
    check("GENERATE_SERIES(3, 1)", "[3, 2, 1]");
    check("GENERATE_SERIES(1, 6, 2)", "[1, 3, 5]");
    check("GENERATE_SERIES(1, 6, 0)", "ERROR");
    check("GENERATE_SERIES(1, 6, -1)", "ERROR");
}

#[test]
fn maps() {
    check("MAP_KEYS(MAP('a' := 1, 'b' := 2))", "[a, b]");
    check("MAP_VALUES(MAP('a' := 1, 'b' := 2))", "[1, 2]");
    check("MAP_UNION(MAP('a' := 1, 'b' := 2), MAP('b' := 3, 'c' := 4))", "{a=1, b=3, c=4}");
    check("AS_MAP(ARRAY['a', 'b'], ARRAY[1])", "{a=1, b=null}");
    check("ENTRIES(MAP('b' := 2, 'a' := 1), TRUE)", "[Struct{K=a,V=1}, Struct{K=b,V=2}]");
    check("ENTRIES(MAP('b' := 2, 'a' := 1), FALSE)[1]->K", "b");
}

#[test]
fn lambdas() {
    check("TRANSFORM(ARRAY[1, 2], x => x * 10)", "[10, 20]");
    check("TRANSFORM(ARRAY[1, 0], x => 1 / x)", "ERROR");
    check("TRANSFORM(MAP('a' := 1), (k, v) => UCASE(k), (k, v) => v + 1)", "{A=2}");
    check("TRANSFORM(MAP('a' := 1, 'b' := 2), (k, v) => 'x', (k, v) => v)", "ERROR");
    check("FILTER(ARRAY[1, 5, NULL], x => x > 3)", "[5]");
    check("FILTER(MAP('a' := 1, 'b' := 5), (k, v) => v > 3)", "{b=5}");
    check("FILTER(MAP('a' := 1, 'b' := CAST(NULL AS INT)), (k, v) => v % 5 = 0)", "null");
    check("REDUCE(ARRAY[3, 6], 2, (s, x) => s + x)", "11");
    check("REDUCE(ARRAY[5, NULL], 2, (s, x) => s + x)", "null");
    check("REDUCE(CAST(NULL AS ARRAY<INT>), 2, (s, x) => s + x)", "2");
    check("REDUCE(MAP('a' := 1, 'b' := 5), 0, (s, k, v) => s + v)", "6");
    check(
        "TRANSFORM(ARRAY[ARRAY[1, 2], ARRAY[3]], x => REDUCE(x, 0, (s, y) => s + y * ARRAY_LENGTH(x)))",
        "[6, 3]",
    );
}
