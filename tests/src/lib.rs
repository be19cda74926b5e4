//! The test harness: real engines, databases, networks and faults.
