//! What signatures prove, on small vectors that real tools made.
