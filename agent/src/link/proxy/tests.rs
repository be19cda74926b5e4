//! Which proxy is chosen, and what is said to it.

use super::*;

fn hub(url: &str) -> HubUrl {
    url.parse().unwrap()
}

fn rules(variables: &[(&str, &str)]) -> ProxyRules {
    ProxyRules::from_variables(|name| {
        variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

fn chosen(rules: &ProxyRules, url: &str) -> Option<String> {
    rules.proxy_for(&hub(url)).map(Proxy::to_string)
}

#[test]
fn each_scheme_has_its_variable_and_all_proxy_stands_in() {
    let both = rules(&[("HTTPS_PROXY", "http://secure:1"), ("http_proxy", "plain:2")]);
    assert_eq!(chosen(&both, "https://hub").as_deref(), Some("secure:1"));
    assert_eq!(chosen(&both, "http://hub").as_deref(), Some("plain:2"));
    let all = rules(&[("ALL_PROXY", "http://any:3"), ("HTTPS_PROXY", "http://secure:1")]);
    assert_eq!(chosen(&all, "https://hub").as_deref(), Some("secure:1"));
    assert_eq!(chosen(&all, "http://hub").as_deref(), Some("any:3"));
    assert_eq!(chosen(&rules(&[]), "https://hub"), None);
}

#[test]
fn no_proxy_names_hosts_domains_ports_and_networks() {
    for (exempt, url, direct) in [
        ("hub.example", "https://hub.example", true),
        ("example", "https://hub.example", true),
        (".example", "https://hub.example", true),
        ("*.example", "https://hub.example", true),
        ("ample", "https://hub.example", false),
        ("hub.example:8443", "https://hub.example", true),
        ("hub.example:443", "https://hub.example", false),
        ("10.0.0.0/8", "https://10.9.8.7", true),
        ("10.0.0.0/8", "https://11.9.8.7", false),
        ("0.0.0.0/0", "https://11.9.8.7", true),
        ("10.1.2.3", "https://10.1.2.3", true),
        ("::1", "https://[::1]", true),
        ("fd00::/8", "https://[fd12::1]", true),
        ("::/0", "https://[fd12::1]", true),
        ("other, hub.example", "https://hub.example", true),
        ("*", "https://hub.example", true),
        ("", "https://hub.example", false),
    ] {
        let rules = rules(&[("HTTPS_PROXY", "http://proxy:1"), ("NO_PROXY", exempt)]);
        assert_eq!(chosen(&rules, url).is_none(), direct, "{exempt} and {url}");
    }
}

#[test]
fn a_proxy_survives_its_text_form_and_prints_without_its_password() {
    let proxy: Proxy = "http://us%40er:p%3Aw%2Fd@proxy.example:3128".parse().unwrap();
    assert_eq!(proxy.credentials.as_ref().unwrap().expose_secret(), "us@er:p:w/d");
    assert!(!format!("{proxy} {proxy:?}").contains("p:w"));
    let again: Proxy = String::from(proxy).parse().unwrap();
    assert_eq!(again.credentials.unwrap().expose_secret(), "us@er:p:w/d");
    assert_eq!((again.host.as_str(), again.port), ("proxy.example", 3128));
}

#[test]
fn an_address_that_is_not_understood_is_not_repeated() {
    let error = "socks5://user:hunter2@host".parse::<Proxy>().unwrap_err().to_string();
    assert!(!error.contains("hunter2"));
}

/// Answers one CONNECT with `response` and gives back what it was asked.
async fn toy_proxy(mut io: tokio::io::DuplexStream, response: &str) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(io.read_u8().await.unwrap());
    }
    io.write_all(response.as_bytes()).await.unwrap();
    String::from_utf8(request).unwrap()
}

async fn through(proxy: &str, response: &str) -> (Result<(), ProxyError>, String, Vec<u8>) {
    let (mut ours, theirs) = tokio::io::duplex(1024);
    let (proxy, hub) = (proxy.parse().unwrap(), hub("https://hub.example:443"));
    let asking = connect(&mut ours, &proxy, &hub);
    let (answer, request) = tokio::join!(asking, toy_proxy(theirs, response));
    let mut rest = Vec::new();
    if answer.is_ok() {
        ours.read_to_end(&mut rest).await.unwrap();
    }
    (answer, request, rest)
}

#[tokio::test]
async fn a_proxy_that_connects_leaves_the_hubs_first_bytes_alone() {
    let (answer, request, rest) = through("http://u:p@proxy:1", "HTTP/1.1 200 OK\r\nVia: x\r\n\r\nhello").await;
    answer.unwrap();
    assert_eq!(rest, b"hello");
    assert_eq!(
        request,
        "CONNECT hub.example:443 HTTP/1.1\r\nHost: hub.example:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
    );
}

#[tokio::test]
async fn a_proxy_that_wants_a_password_says_so() {
    let (answer, request, _) = through("proxy:1", "HTTP/1.1 407 Auth\r\n\r\n").await;
    assert!(matches!(answer, Err(ProxyError::Unauthorized(_))));
    assert!(!request.contains("Authorization"));
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_its_status() {
    let (answer, ..) = through("proxy:1", "HTTP/1.0 403 Forbidden\r\n\r\n").await;
    assert_eq!(answer.unwrap_err().to_string(), "the proxy proxy:1 answered 403 to CONNECT");
}

#[tokio::test]
async fn what_is_no_proxy_is_told_after_its_first_word() {
    let (answer, ..) = through("proxy:1", "SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n").await;
    assert!(matches!(answer, Err(ProxyError::NotAProxy(_))));
}
