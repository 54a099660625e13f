//! Writes plain data as TOML: one canonical form, keys in a fixed order, defaults left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use toml_edit::{Array, ArrayOfTables, InlineTable, Value};
pub use toml_edit::{Item, Table};

/// A type that can be written as a TOML value.
pub trait ToToml {
    /// Returns the value: a table for a type with fields.
    fn to_toml(&self) -> Item;
}

/// A type that can be written as a TOML table.
pub trait ToTable {
    /// Inserts the fields in the order of the file.
    fn to_table(&self, out: &mut Table);
}

/// Returns a value on one line, for use within another value.
pub fn inline(item: Item) -> Value {
    match item {
        Item::Value(v) => v,
        Item::Table(t) => {
            let mut out = InlineTable::new();
            for (k, v) in t {
                out.insert(k, inline(v));
            }
            Value::InlineTable(out)
        }
        Item::ArrayOfTables(a) => Value::Array(a.into_array()),
        Item::None => Value::Array(Array::new()),
    }
}

/// Returns an array: an empty one or one element on one line, else one element a line, so that merges are easy to read.
pub fn array(values: impl IntoIterator<Item = Value>) -> Array {
    let mut out: Array = values.into_iter().collect();
    arrange(&mut out);
    out
}

/// Formats an array as [`array()`] does. Comments stay.
pub fn arrange(array: &mut Array) {
    let several = array.len() > 1;
    for value in array.iter_mut() {
        let prefix = value.decor().prefix().and_then(|p| p.as_str()).unwrap_or_default();
        if !prefix.contains('#') {
            value.decor_mut().set_prefix(if several { "\n    " } else { "" });
        }
        if !value.decor().suffix().and_then(|p| p.as_str()).unwrap_or_default().contains('#') {
            value.decor_mut().set_suffix("");
        }
    }
    if !array.trailing().as_str().unwrap_or_default().contains('#') {
        array.set_trailing(if several { "\n" } else { "" });
    }
    array.set_trailing_comma(several);
}

/// Inserts a field.
pub fn put<T: ToToml>(out: &mut Table, key: &str, value: &T) {
    out.insert(key, value.to_toml());
}

/// Inserts a field unless it has its default value.
pub fn put_unless_default<T: ToToml + Default + PartialEq>(out: &mut Table, key: &str, value: &T) {
    if *value != T::default() {
        put(out, key, value);
    }
}

/// Inserts a field if it has a value.
pub fn put_some<T: ToToml>(out: &mut Table, key: &str, value: Option<&T>) {
    if let Some(value) = value {
        put(out, key, value);
    }
}

/// Returns tables as `[[key]]` blocks.
pub fn blocks<T: ToTable>(values: &[T]) -> Item {
    let mut out = ArrayOfTables::new();
    for v in values {
        let mut table = Table::new();
        v.to_table(&mut table);
        out.push(table);
    }
    Item::ArrayOfTables(out)
}

impl<T: ToToml> ToToml for Vec<T> {
    fn to_toml(&self) -> Item {
        Item::Value(Value::Array(array(self.iter().map(|v| inline(v.to_toml())))))
    }
}

impl<T: ToToml + Ord> ToToml for BTreeSet<T> {
    fn to_toml(&self) -> Item {
        Item::Value(Value::Array(array(self.iter().map(|v| inline(v.to_toml())))))
    }
}

impl<K: Display + Ord, V: ToToml> ToToml for BTreeMap<K, V> {
    fn to_toml(&self) -> Item {
        let mut out = Table::new();
        for (k, v) in self {
            out.insert(&k.to_string(), v.to_toml());
        }
        // A table that holds only tables needs no header of its own.
        out.set_implicit(!out.is_empty() && out.iter().all(|(_, v)| v.is_table()));
        Item::Table(out)
    }
}

/// Returns a string value.
pub fn string(s: &str) -> Item {
    toml_edit::value(s)
}
