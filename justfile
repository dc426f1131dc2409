# The commands of CONTRIBUTING.md; each works without just, too.

# Formatting, lints, documentation.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# All tests, or those whose name contains NAME.
test NAME="":
    cargo test --workspace --locked {{NAME}}

# What has to pass before a change lands.
ci:
    .ci/run

# The benchmark against the reference plugins in DIR; `just bench DIR --quick` is shorter.
bench DIR *ARGS:
    cargo bench -p wasm-cni-cli --bench cni -- --reference {{DIR}} {{ARGS}}
