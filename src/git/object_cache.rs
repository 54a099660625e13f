//! A cache of the objects that were read last: one change reads the same few objects repeatedly.
//!
//! The cache has two halves. Objects that are read go to the newer half. When the newer half is full, it becomes the
//! older half, and the previous older half is dropped. An object that is read again moves to the newer half.

use std::collections::HashMap;
use std::rc::Rc;

use gix::objs::Kind as ObjectKind;

use crate::tree::{Oid, TreeEntry};

/// The approximate size of each half of a full cache, in bytes.
pub(super) const WHOLE: usize = 6 << 20;

/// The same for a repository that one of many threads opens.
pub(super) const SPARING: usize = 512 << 10;

/// The largest object that is cached, in bytes. Trees are cached whatever their size.
const LARGEST: usize = 64 << 10;

/// The overhead of a cache entry, in bytes.
const OVERHEAD: usize = 96;

type Tree = Rc<[TreeEntry]>;
type Object = (ObjectKind, Rc<[u8]>);

/// Trees and small objects, by id.
#[derive(Debug)]
pub(super) struct ObjectCache {
    half: usize,
    newer: CacheHalf,
    older: CacheHalf,
}

#[derive(Debug, Default)]
struct CacheHalf {
    trees: HashMap<Oid, Tree>,
    objects: HashMap<Oid, Object>,
    bytes: usize,
}

fn size_of_tree(tree: &Tree) -> usize {
    tree.iter().map(|e| size_of::<TreeEntry>() + 16 + e.name.len()).sum::<usize>() + OVERHEAD
}

impl ObjectCache {
    /// Creates a cache whose halves hold `half` bytes each.
    pub(super) fn new(half: usize) -> Self {
        Self { half, newer: CacheHalf::default(), older: CacheHalf::default() }
    }

    /// Returns a tree, if it is cached.
    pub(super) fn tree(&mut self, id: &Oid) -> Option<Tree> {
        if let Some(tree) = self.newer.trees.get(id) {
            return Some(Rc::clone(tree));
        }
        let tree = self.older.trees.remove(id)?;
        self.put_tree(*id, &tree);
        Some(tree)
    }

    /// Returns an object, if it is cached.
    pub(super) fn object(&mut self, id: &Oid) -> Option<Object> {
        if let Some((kind, bytes)) = self.newer.objects.get(id) {
            return Some((*kind, Rc::clone(bytes)));
        }
        let (kind, bytes) = self.older.objects.remove(id)?;
        self.keep_object(*id, kind, &bytes);
        Some((kind, bytes))
    }

    pub(super) fn put_tree(&mut self, id: Oid, tree: &Tree) {
        let size = size_of_tree(tree);
        self.make_room(size);
        if self.newer.trees.insert(id, Rc::clone(tree)).is_none() {
            self.newer.bytes += size;
        }
    }

    pub(super) fn put_object(&mut self, id: Oid, kind: ObjectKind, bytes: &[u8]) {
        if bytes.len() <= LARGEST {
            self.keep_object(id, kind, &bytes.into());
        }
    }

    fn keep_object(&mut self, id: Oid, kind: ObjectKind, bytes: &Rc<[u8]>) {
        let size = bytes.len() + OVERHEAD;
        self.make_room(size);
        if self.newer.objects.insert(id, (kind, Rc::clone(bytes))).is_none() {
            self.newer.bytes += size;
        }
    }

    /// Turns the newer half into the older one if it has no room for `size` bytes.
    fn make_room(&mut self, size: usize) {
        if self.newer.bytes > 0 && self.newer.bytes + size > self.half {
            self.older = std::mem::take(&mut self.newer);
        }
    }

    /// Removes objects that no longer exist anywhere.
    pub(super) fn forget(&mut self, ids: impl Iterator<Item = Oid>) {
        for id in ids {
            for half in [&mut self.newer, &mut self.older] {
                let tree = half.trees.remove(&id).map_or(0, |t| size_of_tree(&t));
                let object = half.objects.remove(&id).map_or(0, |(_, bytes)| bytes.len() + OVERHEAD);
                half.bytes = half.bytes.saturating_sub(tree + object);
            }
        }
    }

    /// Removes everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> Oid {
        Oid::from_hex(&format!("{n:040x}")).unwrap()
    }

    fn put(memo: &mut ObjectCache, n: usize) {
        memo.put_object(id(n), ObjectKind::Blob, &[0; 904]);
    }

    #[test]
    fn what_is_asked_for_again_stays_and_the_rest_goes() {
        let mut memo = ObjectCache::new(10_000);
        (0..10).for_each(|n| put(&mut memo, n));
        for n in 10..100 {
            put(&mut memo, n);
            assert!(memo.object(&id(3)).is_some(), "{n}");
        }
        assert!(memo.object(&id(4)).is_none() && memo.object(&id(99)).is_some());
        assert!(memo.newer.bytes <= 10_000 && memo.older.bytes <= 10_000);
        assert!(memo.newer.objects.len() + memo.older.objects.len() <= 20);
    }

    #[test]
    fn two_trees_are_remembered_however_large_they_are() {
        let tree = |n: usize| -> Tree {
            let entry = |i| TreeEntry { name: format!("{n}-{i}"), kind: crate::tree::EntryKind::File, id: id(i) };
            (0..1000).map(entry).collect()
        };
        let mut memo = ObjectCache::new(1000);
        memo.put_tree(id(1), &tree(1));
        memo.put_tree(id(2), &tree(2));
        for _ in 0..3 {
            assert!(memo.tree(&id(1)).is_some() && memo.tree(&id(2)).is_some());
        }
        memo.put_tree(id(3), &tree(3));
        assert!(memo.tree(&id(3)).is_some() && memo.tree(&id(1)).is_none());
    }

    #[test]
    fn what_is_forgotten_takes_no_room() {
        let mut memo = ObjectCache::new(10_000);
        (0..15).for_each(|n| put(&mut memo, n));
        memo.forget((0..15).map(id));
        assert!((0..15).all(|n| memo.object(&id(n)).is_none()));
        assert_eq!((memo.newer.bytes, memo.older.bytes), (0, 0));
    }
}
