//! What a person does from one end to the other.

mod confirmation;
mod console;
mod demo;
mod directory;
mod identity_provider;
mod mail;
