//! What stands behind the flags of `docker run`.

use super::super::parts::{Device, Gpus, Protocol, PublishedPort, Ulimit, all_permissions};

/// A size such as `512m`, in bytes; units are powers of 1024.
pub fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let exponent = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    if let Ok(number) = digits.parse::<u64>() {
        return number.checked_mul(1024_u64.pow(exponent));
    }
    let number: f64 = digits.parse().ok()?;
    let bytes = number * 1024_f64.powi(i32::try_from(exponent).ok()?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was just compared")]
    (0.0..1e18).contains(&bytes).then_some(bytes as u64)
}

/// A time such as `1m30s`, in milliseconds.
pub fn millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, after) = rest.split_at(digits);
        let unit = after.len() - after.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, after) = after.split_at(unit);
        let factor = match unit {
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3600e3,
            "us" | "µs" => 1e-3,
            "ns" => 1e-6,
            "" if number == "0" => 0.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is just compared")]
    (!text.is_empty() && total < 1e15).then_some(total.round() as u64)
}

/// Ports such as `127.0.0.1:8000-8010:80-90/udp`, each on its own.
pub fn ports(text: &str) -> Option<Vec<PublishedPort>> {
    let (text, protocol) = match text.split_once('/') {
        Some((text, protocol)) => (text, Protocol::parse(&protocol.to_ascii_lowercase())?),
        None => (text, Protocol::Tcp),
    };
    let (before, container) = text.rsplit_once(':').unwrap_or(("", text));
    let (ip, host) = match before.rsplit_once(':') {
        Some((ip, host)) => (ip.trim_start_matches('[').trim_end_matches(']'), host),
        None => ("", before),
    };
    let host_ip = if ip.is_empty() { None } else { Some(ip.parse().ok()?) };
    let (first, last) = range(container)?;
    let port =
        |container_port| PublishedPort { host_ip, host_port: None, host_port_end: None, container_port, protocol };
    if host.is_empty() {
        return Some((first..=last).map(port).collect());
    }
    let (from, to) = range(host)?;
    if first == last {
        let host_port_end = (to != from).then_some(to);
        return Some(vec![PublishedPort { host_port: Some(from), host_port_end, ..port(first) }]);
    }
    let is_as_long = last - first == to - from;
    let pairs = (first..=last).zip(from..=to);
    is_as_long.then(|| pairs.map(|(inner, outer)| PublishedPort { host_port: Some(outer), ..port(inner) }).collect())
}

/// A port, or the first and the last of several.
pub fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then_some((first, last))
}

/// A bound such as `nofile=1024:2048`.
pub fn ulimit(text: &str) -> Option<Ulimit> {
    let (name, bounds) = text.split_once('=')?;
    let (soft, hard) = bounds.split_once(':').unwrap_or((bounds, bounds));
    Some(Ulimit { name: name.to_owned(), soft: soft.parse().ok()?, hard: hard.parse().ok()? })
}

/// A device such as `/dev/snd:/dev/snd:rw`.
pub fn device(text: &str) -> Option<Device> {
    let parts: Vec<_> = text.split(':').collect();
    let is_able = |part: &str| !part.is_empty() && part.chars().all(|c| "rwm".contains(c));
    let (host, container, permissions) = match parts.as_slice() {
        [host] => (host, host, None),
        [host, able] if is_able(able) => (host, host, Some(able)),
        [host, container] => (host, container, None),
        [host, container, able] if is_able(able) => (host, container, Some(able)),
        _ => return None,
    };
    let permissions = permissions.map_or_else(all_permissions, ToString::to_string);
    Some(Device { host: (*host).to_owned(), container: (*container).to_owned(), permissions })
}

/// Graphics processors such as `all`, `2` or `"device=0,1",capabilities=video`.
pub fn gpus(text: &str) -> Option<Gpus> {
    let mut gpus = Gpus::default();
    // A list of devices may stand without its quotes where nothing follows.
    let whole = text.strip_prefix("device=").filter(|rest| !rest.contains('='));
    let fields = whole.map_or_else(|| fields(text), |_| vec![text.to_owned()]);
    for field in fields {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        let list = || value.split(',').map(str::to_owned).collect();
        match key {
            "count" if value == "all" => gpus.count = Some(-1),
            "count" => gpus.count = Some(value.parse().ok()?),
            "device" => gpus.ids = list(),
            "capabilities" => gpus.capabilities = list(),
            "driver" => gpus.driver = Some(value.to_owned()),
            _ => return None,
        }
    }
    if gpus.ids.is_empty() && gpus.count.is_none() {
        gpus.count = Some(-1);
    }
    Some(gpus)
}

/// The fields of a line of comma-separated values.
pub fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            letter => {
                let last = fields.last_mut().expect("there is always one");
                last.push(letter);
            }
        }
    }
    fields
}
