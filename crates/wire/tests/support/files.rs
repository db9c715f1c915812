//! Test vectors as files: read, compared, and written anew when asked.
//!
//! A vector file is what a second implementation tests itself with, so it changes only on purpose: a test builds the
//! whole document again and compares. With `TREEHOUSE_WRITE_VECTORS=1` in the environment the file is written first,
//! and the change shows in the diff.

use std::{fs, path::Path};

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::Value;

/// Compares a vector file with what this implementation makes of the same values.
pub fn check(path: &Path, made: &Value) {
    if std::env::var_os("TREEHOUSE_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(made).expect("a JSON value is printable") + "\n";
        fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let file = load(path);
    if let (Some(file), Some(made)) = (file.as_object(), made.as_object()) {
        for (key, value) in made {
            compare(path, key, file.get(key).unwrap_or(&Value::Null), value);
        }
    }
    assert_eq!(&file, made, "{}", path.display());
}

/// Reads a vector file.
pub fn load(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names the first vector that differs, before the whole documents are compared.
fn compare(path: &Path, key: &str, file: &Value, made: &Value) {
    let (Some(file), Some(made)) = (file.as_array(), made.as_array()) else { return };
    for (file, made) in file.iter().zip(made) {
        assert_eq!(file, made, "{} {key} {}", path.display(), made["name"]);
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

/// The bytes of a field of hexadecimal digits.
pub fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap_or_else(|| panic!("no hexadecimal digits: {value}"));
    HEXLOWER.decode(digits.as_bytes()).unwrap_or_else(|error| panic!("{digits}: {error}"))
}

/// A wire value for a reader: its fields by name, bytes as hexadecimal digits, a signature as one string of them.
pub fn readable(value: &impl Serialize) -> Value {
    collapse(serde_json::to_value(value).expect("wire values have string keys only"))
}

fn collapse(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let bytes: Option<Vec<u8>> = items.iter().map(|item| item.as_u64()?.try_into().ok()).collect();
            let items: Vec<Value> = match bytes {
                // Four bytes are the shortest id; pairs of numbers stay numbers.
                Some(bytes) if bytes.len() >= 4 => return hex(bytes).into(),
                _ => items.into_iter().map(collapse).collect(),
            };
            match items.as_slice() {
                [Value::String(a), Value::String(b)] if a.len() == 64 && b.len() == 64 => format!("{a}{b}").into(),
                _ => items.into(),
            }
        }
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, value)| (key, collapse(value))).collect()),
        other => other,
    }
}
