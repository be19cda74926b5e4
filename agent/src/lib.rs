//! The library behind the agent binary; the hub runs it in process for local and TCP engines.
