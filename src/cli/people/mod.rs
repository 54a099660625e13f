//! Commands about people: persons, groups, grants, notifications.

pub(super) mod access;
pub(super) mod notifications;
pub(super) mod notifications_test;
pub(super) mod person;
