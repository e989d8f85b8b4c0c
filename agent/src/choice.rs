//! A setting that may be left alone, switched off or made.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;

/// Absent or `true`, `null` or `false`, or a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice<T> {
    /// Nothing was said, or `true`.
    #[default]
    Usual,
    /// `null` or `false`.
    Off,
    /// What was said.
    Set(T),
}

impl<T> Choice<T> {
    /// What was said, or `usual` if nothing was.
    pub fn or(self, usual: Option<T>) -> Option<T> {
        match self {
            Self::Usual => usual,
            Self::Off => None,
            Self::Set(value) => Some(value),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::Bool(true) => Ok(Self::Usual),
            Value::Null | Value::Bool(false) => Ok(Self::Off),
            value => T::deserialize(value).map(Self::Set).map_err(serde::de::Error::custom),
        }
    }
}

impl<T: Serialize> Serialize for Choice<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Usual => to.serialize_bool(true),
            Self::Off => to.serialize_bool(false),
            Self::Set(value) => value.serialize(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for (json, choice) in [
            ("true", Choice::Usual),
            ("false", Choice::Off),
            ("null", Choice::Off),
            ("22", Choice::Set(22u16)),
        ] {
            assert_eq!(serde_json::from_str::<Choice<u16>>(json).unwrap(), choice);
            let again = serde_json::to_string(&choice).unwrap();
            assert_eq!(serde_json::from_str::<Choice<u16>>(&again).unwrap(), choice);
        }
        assert!(serde_json::from_str::<Choice<u16>>("70000").unwrap_err().to_string().contains("70000"));
        assert_eq!(Choice::Usual.or(Some(22)), Some(22));
        assert_eq!(Choice::Off.or(Some(22)), None);
        assert_eq!(Choice::Set(23).or(Some(22)), Some(23));
    }
}
