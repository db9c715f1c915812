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
        // Under another name first: the other tests of the same run read these files.
        let unfinished = path.with_extension("json.new");
        let written = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, path));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
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
    collapse("", serde_json::to_value(value).expect("wire values have string keys only"))
}

/// `field` is the name that the value stands under.
fn collapse(field: &str, value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let bytes: Option<Vec<u8>> = items.iter().map(|item| item.as_u64()?.try_into().ok()).collect();
            // Four bytes are the shortest id; pairs of numbers stay numbers.
            if let Some(bytes) = bytes.filter(|bytes| bytes.len() >= 4) {
                return hex(bytes).into();
            }
            // The claim of a hand is a pair of key and signature.
            let inner = if field == "claim" { "signature" } else { "" };
            let items: Vec<Value> = items.into_iter().map(|item| collapse(inner, item)).collect();
            match items.as_slice() {
                // A signature is written as two halves.
                [Value::String(a), Value::String(b)] if matches!(field, "signature" | "proof") => {
                    format!("{a}{b}").into()
                }
                _ => items.into(),
            }
        }
        Value::Object(fields) => {
            let fields = fields.into_iter();
            Value::Object(fields.map(|(name, value)| (name.clone(), collapse(&name, value))).collect())
        }
        other => other,
    }
}
