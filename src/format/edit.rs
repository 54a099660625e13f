//! Editing a file as a person would: only what changed is rewritten; every other byte and comment stays.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TableLike, Value};

use super::canonical::{canonical, plain};
use super::write::{ToTable, arrange};
use super::{EntityFile, parse, print};

/// Returns `text` with the difference between `before` and `after` applied. `before` is the value that `text` holds.
///
/// A text in canonical form stays canonical: a new key gets its place in the order. In another text all other bytes stay,
/// and a new key goes to the end of its table. If an edit in place cannot give `after`, the canonical form of `after` is
/// returned.
pub fn edit<T: EntityFile>(text: &str, before: &T, after: &T) -> String {
    if text == print(before) {
        return print(after);
    }
    let Ok(mut doc) = text.parse::<DocumentMut>() else { return print(after) };
    merge(doc.as_table_mut(), &table_of(before), &table_of(after));
    let edited = doc.to_string();
    let (value, _) = parse::<T>("", edited.as_bytes());
    if value.as_ref() != Some(after) {
        return print(after);
    }
    match canonical::<T>("", text) {
        Ok(form) if form == text => canonical::<T>("", &edited).unwrap_or(edited),
        Ok(_) | Err(_) => edited,
    }
}

fn table_of<T: ToTable>(value: &T) -> Table {
    let mut out = Table::new();
    value.to_table(&mut out);
    out
}

/// Applies the difference of two tables to a third one.
fn merge(into: &mut dyn TableLike, before: &dyn TableLike, after: &dyn TableLike) {
    for (key, old) in before.iter() {
        if !old.is_none() && after.get(key).is_none_or(Item::is_none) {
            into.remove(key);
        }
    }
    for (key, new) in after.iter() {
        let old = before.get(key);
        if old.is_some_and(|old| same(old, new)) {
            continue;
        }
        match into.get_mut(key) {
            Some(there) => merge_item(there, old, new),
            None => {
                into.insert(key, new.clone());
            }
        }
    }
}

fn merge_item(there: &mut Item, old: Option<&Item>, new: &Item) {
    if let (Some(into), Some(new)) = (there.as_table_like_mut(), new.as_table_like()) {
        let nothing = Table::new();
        merge(into, old.and_then(Item::as_table_like).unwrap_or(&nothing), new);
        return;
    }
    match (&mut *there, new) {
        (Item::Value(Value::Array(into)), Item::Value(Value::Array(new))) => merge_array(into, new),
        (Item::ArrayOfTables(into), Item::ArrayOfTables(new)) => append(into, new),
        (Item::Value(into), Item::Value(new)) => {
            let decor = into.decor().clone();
            *into = new.clone();
            *into.decor_mut() = decor;
        }
        _ => *there = new.clone(),
    }
}

/// Keeps the elements that stay, with their comments; removes the others and inserts the new ones.
fn merge_array(into: &mut Array, new: &Array) {
    let wanted: Vec<String> = new.iter().map(plain).collect();
    into.retain(|v| wanted.contains(&plain(v)));
    let kept: Vec<String> = into.iter().map(plain).collect();
    if wanted.iter().filter(|w| kept.contains(w)).ne(kept.iter()) {
        *into = new.clone();
        return;
    }
    for (i, value) in new.iter().enumerate() {
        if into.get(i).map(plain).as_deref() != wanted.get(i).map(String::as_str) {
            into.insert_formatted(i, value.clone());
        }
    }
    arrange(into);
}

/// Appends the new tables at the end. Any other change replaces all tables.
fn append(into: &mut ArrayOfTables, new: &ArrayOfTables) {
    let same = into.iter().zip(new.iter()).all(|(a, b)| same_table(a, b));
    if !same || into.len() > new.len() {
        *into = new.clone();
        return;
    }
    for table in new.iter().skip(into.len()) {
        into.push(table.clone());
    }
}

fn same(a: &Item, b: &Item) -> bool {
    match (a.as_table_like(), b.as_table_like()) {
        (Some(a), Some(b)) => same_table(a, b),
        _ => match (a, b) {
            (Item::Value(a), Item::Value(b)) => plain(a) == plain(b),
            (Item::ArrayOfTables(a), Item::ArrayOfTables(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same_table(a, b))
            }
            _ => a.is_none() && b.is_none(),
        },
    }
}

fn same_table(a: &dyn TableLike, b: &dyn TableLike) -> bool {
    a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
}
