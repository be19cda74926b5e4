//! Measurements through the API and in the database.
