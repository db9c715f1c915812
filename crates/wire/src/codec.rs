//! One canonical encoding, and the bounded containers it is made of.
//!
//! The encoding is postcard 1.x. Postcard itself accepts overlong varints and ignores what follows a value, so
//! [`decode`] requires an empty rest, encodes the value again and compares: two different byte strings never mean the
//! same message, and a signature or a hash over bytes is one over meaning.

use core::{fmt, marker::PhantomData, ops::Deref};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, SeqAccess, Visitor},
    ser::SerializeSeq,
};

/// Why bytes were refused. The sender is at fault in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than the limit for this kind; nothing was read.
    #[error("{len} bytes exceed the limit of {max}")]
    TooLong {
        /// Bytes that came.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Fewer bytes than the smallest value of this kind.
    #[error("{len} bytes are fewer than the {min} that are needed")]
    TooShort {
        /// Bytes that came.
        len: usize,
        /// The least that is needed.
        min: usize,
    },
    /// Not a value of this kind, or a list or text in it is past its limit.
    #[error("not a well-formed value")]
    Malformed,
    /// A well-formed value with bytes behind it.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// A well-formed value in a form that this encoder would not have written.
    #[error("the value is not in its canonical form")]
    NotCanonical,
    /// A kind or version that this implementation does not know.
    #[error("unknown kind {0:#04x}")]
    UnknownKind(u8),
    /// A number outside the range that its field allows.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
}

/// The canonical bytes of a value.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // The only failures are a map or sequence of unknown length, and no wire type has one.
    postcard::to_allocvec(value).unwrap_or_default()
}

/// Reads one value of at most `max` bytes; refuses trailing bytes and anything [`encode`] would not have written.
///
/// # Errors
/// [`DecodeError`], which says what was wrong with the bytes.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { len: bytes.len(), max });
    }
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(|_| DecodeError::Malformed)?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing(rest.len()));
    }
    // Compared as it is written: most of what a node receives is small, and a buffer for it would cost more than the rest.
    match postcard::serialize_with_flavor(&value, Compared(bytes)) {
        Ok(true) => Ok(value),
        Ok(false) | Err(_) => Err(DecodeError::NotCanonical),
    }
}

/// Takes what is written and compares it with what is there; fails at the first byte that differs.
struct Compared<'a>(&'a [u8]);

impl postcard::ser_flavors::Flavor for Compared<'_> {
    /// Whether all was written.
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, written: &[u8]) -> postcard::Result<()> {
        self.0 = self.0.strip_prefix(written).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.0.is_empty())
    }
}

/// A list of at most `N` elements; a longer one is refused before anything is allocated for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct List<T, const N: usize>(Box<[T]>);

/// Bytes with a limit.
pub type Blob<const N: usize> = List<u8, N>;

impl<T, const N: usize> List<T, N> {
    /// The list, or `None` where it is too long.
    pub fn new(items: Vec<T>) -> Option<Self> {
        (items.len() <= N).then(|| List(items.into_boxed_slice()))
    }

    /// The first `N` of the items.
    pub fn truncated(items: impl IntoIterator<Item = T>) -> Self {
        List(items.into_iter().take(N).collect())
    }

    /// The items themselves.
    pub fn into_vec(self) -> Vec<T> {
        self.0.into_vec()
    }
}

impl<T, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        List(Box::default())
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize, const N: usize> Serialize for List<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for item in self.0.iter() {
            seq.serialize_element(item)?;
        }
        seq.end()
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for List<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Items<T, N> {
            type Value = List<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {N} items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                // Postcard knows the length before the first element; it is checked before a byte is allocated.
                let len = seq.size_hint().unwrap_or(0);
                if len > N {
                    return Err(de::Error::invalid_length(len, &self));
                }
                let mut items = Vec::with_capacity(len);
                while let Some(item) = seq.next_element()? {
                    if items.len() == N {
                        return Err(de::Error::invalid_length(N + 1, &self));
                    }
                    items.push(item);
                }
                Ok(List(items.into_boxed_slice()))
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// Text of at most `N` bytes without control characters, so that a name from the network cannot drive a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const N: usize>(String);

impl<const N: usize> Text<N> {
    /// The text, or `None` where it is too long or has control or direction-changing characters.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= N && !text.chars().any(is_unprintable)).then(|| Text(text.to_owned()))
    }

    /// As much of the text as is allowed: unprintable characters left out, cut at a character boundary.
    pub fn cleaned(text: &str) -> Self {
        let mut clean = String::new();
        for c in text.trim().chars().filter(|c| !is_unprintable(*c)) {
            if clean.len() + c.len_utf8() > N {
                break;
            }
            clean.push(c);
        }
        Text(clean)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters, and the Unicode characters that reorder or hide what stands around them (UAX #9, UTS #39).
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const N: usize> Serialize for Text<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Text<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Chars<const N: usize>;

        impl<const N: usize> Visitor<'_> for Chars<N> {
            type Value = Text<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "printable text of at most {N} bytes")
            }

            fn visit_str<Err: de::Error>(self, text: &str) -> Result<Self::Value, Err> {
                Text::new(text).ok_or_else(|| Err::invalid_length(text.len(), &self))
            }
        }

        deserializer.deserialize_str(Chars)
    }
}
