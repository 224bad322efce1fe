//! JSON: one object per record, or the bare value of a single unwrapped column.
//!
//! Reading is one pass over the bytes into column builders; fields nobody asked for are skipped unread. A field belongs
//! to the column of its name, or of its name in upper case; of several the last one counts; absent ones are NULL.
//!
//! | type | written as | read from |
//! |---|---|---|
//! | BOOLEAN | true, false | true, false |
//! | INTEGER, BIGINT | number | number (fraction dropped, wraps), string of an integer |
//! | DOUBLE | number as Java writes it; "NaN", "Infinity" | number, string of one |
//! | DECIMAL | number with all digits | number, string; must fit without rounding |
//! | STRING | string | string; number, boolean, object as their text; array as `[a, b]` |
//! | BYTES | base64 string | base64 string |
//! | DATE, TIME, TIMESTAMP | days, ms of the day, ms | number, string of one |
//! | ARRAY, MAP, STRUCT | array, object, object with all fields | the same |

pub mod decode;
pub mod encode;
mod fields;
mod scan;
mod stringify;

#[cfg(test)]
mod tests;
