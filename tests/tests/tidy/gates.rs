//! Gates against whole classes of mistakes: who needs an exception writes it
//! down here, where it is reviewed.

use std::collections::BTreeSet;

use super::super::{Source, assert_none, sources};

/// Where SQL is put together from more than constants, and from what: names of
/// tables and columns that the code or the schema gives, and conditions with
/// numbered places. None of it comes from a request.
const SQL_FROM_PARTS: [(&str, &str); 20] = [
    ("hub/src/db/dialect.rs", ""),
    ("hub/src/db/dialect.rs", "definition"),
    ("hub/src/db/dialect.rs", "lock"),
    ("hub/src/db/tables.rs", ""),
    ("hub/src/identity/audit/chain.rs", "lock"),
    ("hub/src/identity/audit/store.rs", ""),
    ("hub/src/jobs/store.rs", "shown"),
    ("hub/src/telemetry/events/store.rs", ""),
    ("hub/src/telemetry/events/store.rs", "condition"),
    ("hub/src/vault/rotation/columns.rs", ""),
    ("hub/src/vault/rotation/columns.rs", "batch"),
    ("hub/src/vault/rotation/columns.rs", "behind"),
    ("hub/src/vault/rotation/columns.rs", "id"),
    ("hub/src/vault/rotation/columns.rs", "key"),
    ("hub/src/vault/rotation/columns.rs", "named"),
    ("hub/src/vault/rotation/columns.rs", "number"),
    ("hub/src/vault/rotation/columns.rs", "other"),
    ("hub/src/vault/rotation/columns.rs", "table"),
    ("hub/src/vault/rotation/columns.rs", "value"),
    ("hub/src/workloads/recordings/store.rs", "shown"),
];
/// Where programs are started: each from a list of arguments.
const STARTS_PROGRAMS: [&str; 2] = ["agent/src/cli/uninstall.rs", "hub/src/vault/source.rs"];
/// Where a shell in a container is given a script, which is a constant.
const GIVES_SCRIPTS: [&str; 1] = ["hub/src/workloads/terminals/engine.rs"];
/// How a shell is given a script.
const SCRIPT: [&str; 3] = ["shell, \"-c\",", "sh\", \"-c\",", "\"sh -c "];
/// How SQL begins or goes on.
const SQL: [&str; 12] = [
    "SELECT ",
    "INSERT INTO ",
    "UPDATE ",
    "DELETE FROM ",
    " WHERE ",
    " ORDER BY ",
    "ALTER TABLE ",
    "DROP ",
    "CREATE ",
    "VACUUM",
    "PRAGMA ",
    "TRUNCATE ",
];

/// The code that is in the product, without its tests.
fn product() -> Vec<Source> {
    let is_of_tests = |source: &Source| {
        let name = source.name();
        name.contains("/tests") || name.contains("testing") || name.starts_with("tests/")
    };
    let code = sources().into_iter().filter(|source| !is_of_tests(source));
    let without_tests = code.map(|mut source| {
        let end = source.text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(source.text.len());
        source.text.truncate(end);
        source
    });
    without_tests.collect()
}

#[test]
fn asvs_1_2_4_sql_is_put_together_from_constants_and_reviewed_parts_alone() {
    let (mut seen, mut offenders) = (BTreeSet::new(), Vec::new());
    for source in product() {
        let name = source.name();
        for text in formatted(&source.text).into_iter().filter(|text| SQL.iter().any(|word| text.contains(word))) {
            for part in parts(text).filter(|part| !is_constant(part)) {
                match SQL_FROM_PARTS.iter().find(|known| **known == (name.as_str(), part)) {
                    Some(known) => drop(seen.insert(known)),
                    None => offenders.push(format!("{name}: {{{part}}} in {text:?}")),
                }
            }
        }
    }
    assert_none("SQL from parts that nobody reviewed: bind them", offenders);
    let unused = SQL_FROM_PARTS.iter().filter(|known| !seen.contains(known));
    let unused = unused.map(|(file, part)| format!("{file}: {{{part}}}"));
    assert_none("parts of SQL that are no more: take them out of the list", unused);
}

#[test]
fn asvs_1_2_5_no_shell_stands_between_the_product_and_what_it_starts() {
    let starts = |source: &Source| source.text.contains("Command::new(");
    let starting: Vec<_> = product().into_iter().filter(starts).map(|source| source.name()).collect();
    assert_eq!(starting, STARTS_PROGRAMS, "each is reviewed: a program and a list of arguments");
    let gives = |source: &Source| SCRIPT.iter().any(|way| source.text.contains(way));
    let giving: Vec<_> = product().into_iter().filter(gives).collect();
    assert_eq!(giving.iter().map(Source::name).collect::<Vec<_>>(), GIVES_SCRIPTS, "each is reviewed");
    for source in giving {
        for rest in SCRIPT.iter().flat_map(|way| source.text.split(way).skip(1)) {
            let script: String = rest.trim_start().chars().take_while(|letter| !",]".contains(*letter)).collect();
            assert!(is_constant(&script) || script.starts_with('"'), "{script} is no constant");
        }
    }
}

#[test]
fn asvs_12_3_2_certificates_are_taken_without_a_look_only_outside_of_the_tunnels_own_session() {
    // The outer session of an agent, whose inner one shows the pin, and the inner
    // one itself, which looks at the pin and not at dates.
    let reviewed = ["agent/src/link/outer.rs", "protocol/src/tls/agent.rs"];
    let dangerous = product().into_iter().filter(|source| source.text.contains(".dangerous()"));
    assert_eq!(dangerous.map(|source| source.name()).collect::<Vec<_>>(), reviewed);
}

/// The texts that `format!` fills in.
fn formatted(code: &str) -> Vec<&str> {
    let begins = code.match_indices("format!(").map(|(at, word)| code[at + word.len()..].trim_start());
    let texts = begins.filter_map(|rest| rest.strip_prefix('"'));
    texts.filter_map(|rest| rest.find('"').map(|end| &rest[..end])).collect()
}

/// What stands between braces.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(part, _)| part)
}

fn is_constant(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}
