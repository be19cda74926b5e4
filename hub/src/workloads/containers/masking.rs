//! What looks like a secret in what an engine tells, and is not shown. Names
//! decide, and addresses with user and password in them: rather too much is
//! masked than too little.

use std::borrow::Cow;

use serde_json::Value;

/// What stands in the place of a secret.
pub const MASK: &str = "********";
/// Parts of names whose values are masked, wherever in the name they stand.
const PARTS: [&str; 10] =
    ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "DSN", "BASICAUTH", "BEARER"];
/// The same for whole words of names.
const WORDS: [&str; 4] = ["PASS", "PWD", "AUTH", "SALT"];
/// The shell's own variable of the present folder, which is a word of those.
const FOLDER: &str = "PWD";
/// Fields of the engine's own that only sound like it.
const HARMLESS: [&str; 1] = ["SandboxKey"];
/// Words after which a secret follows.
const SCHEMES: [&str; 2] = ["Bearer", "Basic"];
/// What ends a value in the middle of a text.
const ENDS: [char; 6] = [',', ';', '&', '"', '\'', '`'];

/// Masks whatever looks like a secret in `value`. Gives how many texts were
/// changed.
pub fn mask(value: &mut Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => mask_in_place(text),
        Value::Array(items) => mask_list(items),
        Value::Object(fields) => fields.iter_mut().map(|(name, value)| mask_field(name, value)).sum(),
    }
}

/// The same for one text, such as a command line.
pub fn mask_text(text: &str) -> Cow<'_, str> {
    if let Some((name, _)) = text.split_once('=')
        && is_name(name)
        && is_secret(name)
    {
        return Cow::Owned(format!("{name}={MASK}"));
    }
    let mut masked = String::with_capacity(text.len());
    let mut is_next_secret = false;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let space = &piece[word.len()..];
        if !word.is_empty() {
            masked.push_str(&if is_next_secret { Cow::Borrowed(MASK) } else { mask_word(word) });
            is_next_secret = announces_secret(word);
        }
        masked.push_str(space);
    }
    if masked == text { Cow::Borrowed(text) } else { Cow::Owned(masked) }
}

/// The value under this name, masked if the name or the value asks for it.
pub fn mask_named<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if is_secret(name) && !value.is_empty() { Cow::Borrowed(MASK) } else { mask_text(value) }
}

/// Whether a variable, label or option of this name holds a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let has_word = || name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| WORDS.contains(&word));
    PARTS.iter().any(|part| name.contains(part)) || (name != FOLDER && has_word())
}

fn mask_field(name: &str, value: &mut Value) -> usize {
    if is_secret(name) && !HARMLESS.contains(&name) { hide(value) } else { mask(value) }
}

/// Masks every text below, whatever it looks like.
fn hide(value: &mut Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) if text.is_empty() => 0,
        Value::String(text) => {
            MASK.clone_into(text);
            1
        }
        Value::Array(items) => items.iter_mut().map(hide).sum(),
        Value::Object(fields) => fields.values_mut().map(hide).sum(),
    }
}

/// Masks in a list, which may be a command line with a word in each place.
fn mask_list(items: &mut [Value]) -> usize {
    let mut is_next_secret = false;
    let mut masked = 0;
    for item in items {
        let announces = item.as_str().is_some_and(announces_secret);
        masked += if is_next_secret { hide(item) } else { mask(item) };
        is_next_secret = announces;
    }
    masked
}

fn mask_in_place(text: &mut String) -> usize {
    let Cow::Owned(masked) = mask_text(text) else {
        return 0;
    };
    *text = masked;
    1
}

/// Whether the next word is the value of this one, as after `--password`.
fn announces_secret(word: &str) -> bool {
    let bare = word.trim_matches(ENDS.as_slice());
    let is_option = bare.starts_with('-') && is_name(bare) && is_secret(bare);
    is_option || SCHEMES.iter().any(|scheme| bare.eq_ignore_ascii_case(scheme))
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
}

/// Masks assignments and addresses in a word.
fn mask_word(word: &str) -> Cow<'_, str> {
    let assigned: Cow<'_, str> = match word.contains('=') {
        true => word.split_inclusive(ENDS).map(mask_assignment).collect::<String>().into(),
        false => word.into(),
    };
    match assigned.contains("://") {
        true => mask_addresses(&assigned).into(),
        false => assigned,
    }
}

/// Masks in `name=value`, or `--env=NAME=value`.
fn mask_assignment(part: &str) -> String {
    let text = part.trim_end_matches(ENDS.as_slice());
    let mut masked = String::with_capacity(part.len());
    let mut rest = text;
    while let Some((name, value)) = rest.split_once('=') {
        masked.push_str(name);
        masked.push('=');
        let is_hidden = !value.is_empty() && is_secret(last_name(name));
        rest = if is_hidden { MASK } else { value };
    }
    masked + rest + &part[text.len()..]
}

/// The name at the end of what stands before an equals sign.
fn last_name(text: &str) -> &str {
    text.rsplit(|c: char| !is_name(c.encode_utf8(&mut [0; 4]))).next().unwrap_or(text)
}

/// Masks who signs in, in `scheme://user:password@host`.
fn mask_addresses(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        rest = after;
        if let Some(end) = sign_in_end(rest) {
            masked.push_str(MASK);
            rest = &rest[end..];
        }
    }
    masked + rest
}

/// Where the `@` stands after who signs in, if anyone does. A password may
/// hold a slash that should have been written otherwise.
fn sign_in_end(address: &str) -> Option<usize> {
    let address = &address[..address.find("://").unwrap_or(address.len())];
    let authority = address.split(['/', '?', '#']).next().unwrap_or(address);
    if let Some(at) = authority.rfind('@') {
        return Some(at);
    }
    let (_, port) = authority.split_once(':')?;
    let is_port = port.chars().all(|c| c.is_ascii_digit());
    if is_port { None } else { address.rfind('@') }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_masked_by_their_names() {
        for (variable, masked) in [
            ("POSTGRES_PASSWORD=two words", "POSTGRES_PASSWORD=********"),
            ("AWS_SECRET_ACCESS_KEY=a=b", "AWS_SECRET_ACCESS_KEY=********"),
            ("github_token=x", "github_token=********"),
            ("SENTRY_DSN=https://a@b/1", "SENTRY_DSN=********"),
            ("MYSQL_PWD=x", "MYSQL_PWD=********"),
            ("REDIS_AUTH=x", "REDIS_AUTH=********"),
            ("PWD=/srv", "PWD=/srv"),
            ("PATH=/usr/bin:/bin", "PATH=/usr/bin:/bin"),
            ("AUTHOR=ada", "AUTHOR=ada"),
        ] {
            assert_eq!(mask_text(variable), masked);
        }
    }

    #[test]
    fn addresses_are_masked_where_somebody_signs_in() {
        for (text, masked) in [
            ("DATABASE_URL=postgres://ada:s3cret@db:5432/shop", "DATABASE_URL=postgres://********@db:5432/shop"),
            ("postgres://ada:s3/cr@t@db/shop", "postgres://********@db/shop"),
            ("amqp://only@mq", "amqp://********@mq"),
            ("http://a:b@c,http://d:e@f", "http://********@c,http://********@f"),
            ("see https://host:8080/@scope/name", "see https://host:8080/@scope/name"),
            ("http://[::1]:80/x", "http://[::1]:80/x"),
            ("nginx:1@sha256:aa", "nginx:1@sha256:aa"),
        ] {
            assert_eq!(mask_text(text), masked);
        }
    }

    #[test]
    fn command_lines_are_masked_in_one_text_and_in_many() {
        for (text, masked) in [
            ("serve --password=x --port 80", "serve --password=******** --port 80"),
            ("serve --api-token  x y", "serve --api-token  ******** y"),
            ("sh -c 'export TOKEN=x; run'", "sh -c 'export TOKEN=********; run'"),
            ("curl -H \"Authorization: Bearer x.y\" host", "curl -H \"Authorization: Bearer ******** host"),
            ("docker run --env=API_KEY=x", "docker run --env=API_KEY=********"),
            ("type=cifs,o=username=u,password=p,vers=3", "type=cifs,o=username=u,password=********,vers=3"),
            ("nothing to hide", "nothing to hide"),
        ] {
            assert_eq!(mask_text(text), masked);
        }
        let mut command = json!(["serve", "--db-password", "x", "--port", "80"]);
        assert_eq!(mask(&mut command), 1);
        assert_eq!(command, json!(["serve", "--db-password", MASK, "--port", "80"]));
    }

    #[test]
    fn labels_and_options_are_masked_and_the_engines_own_fields_are_not() {
        let mut told = json!({
            "Id": "ab", "Config": { "Labels": { "api.key": "x", "tier": "front" }, "Env": ["A=1", "B_SECRET=2"] },
            "HostConfig": { "LogConfig": { "Config": { "splunk-token": "x", "max-size": "1m" } }, "Memory": 7 },
            "NetworkSettings": { "SandboxKey": "/var/run/docker/netns/1" },
            "Credentials": { "user": "ada", "list": ["x", ""] },
        });
        assert_eq!(mask(&mut told), 5);
        assert_eq!(told["Config"]["Labels"], json!({ "api.key": MASK, "tier": "front" }));
        assert_eq!(told["Config"]["Env"], json!(["A=1", "B_SECRET=********"]));
        assert_eq!(told["HostConfig"]["LogConfig"]["Config"], json!({ "splunk-token": MASK, "max-size": "1m" }));
        assert_eq!(told["NetworkSettings"]["SandboxKey"], "/var/run/docker/netns/1");
        assert_eq!(told["Credentials"], json!({ "user": MASK, "list": [MASK, ""] }));
    }

    #[test]
    fn any_text_is_taken() {
        for text in ["", "=", "==", "://", "://@", "é=ü", "--key", "=KEY=", "Bearer", "a://b://c@d", "\u{0}=\u{0}@://"]
        {
            assert!(mask_text(text).len() < 64, "{text}");
        }
        assert_eq!(mask_text(&"=".repeat(1 << 20)).len(), 1 << 20);
    }
}
