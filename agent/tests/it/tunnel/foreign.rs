//! The agent and the SSH server that everybody has.
