# Recipes for daily work: `just --list` shows them. CONTRIBUTING.md explains each.

# All tests.
test:
    cargo test

# The fast loop: types and unit tests.
quick:
    cargo check --all-targets
    cargo test --lib

# Everything that must pass before a change goes in.
ci:
    .ci/run

# All case folders, or one.
cases name="":
    GREENROOM_CASE={{name}} cargo test --test it -- cases::

# All transcripts, or one.
transcripts name="":
    GREENROOM_TRANSCRIPT={{name}} cargo test --test it -- transcripts::

# Write schemas, transcripts, payloads and examples anew.
write:
    GREENROOM_WRITE=1 cargo test --test it -- schema:: transcripts:: webhooks::payloads examples::
    GREENROOM_WRITE=1 cargo test --lib -- deliver::mail

# Fuzz one target (needs nightly Rust and cargo-fuzz).
fuzz target:
    cargo +nightly fuzz run {{target}} --fuzz-dir tests/fuzz

# One benchmark, or all.
bench name="":
    cargo bench -- {{name}}
