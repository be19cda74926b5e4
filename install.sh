#!/bin/sh
# The place of the installer, which does not exist yet.
set -eu
cat >&2 <<'TEXT'
There is no installer yet. To install by hand:
  1. On a machine with Rust: make build
  2. Copy target/release/windflow-hub or target/release/windflow-agent to
     /usr/local/bin on the machine that shall run it.
  3. README.md, "Add a host", has the commands that come next.
TEXT
# EX_UNAVAILABLE
exit 69
