//! Specifications as bodies and back, their rules, and lines of `docker run`.

use serde_json::{Value, json};

use super::docker_run::{DockerRun, ParsedRun, RunError};
use super::parts::ContainerSpec;
use super::{new_body, read, write};

fn spec(value: Value) -> ContainerSpec {
    serde_json::from_value(value).unwrap()
}

/// Everything that a specification can say.
fn everything() -> Value {
    json!({
        "name": "web", "image": "nginx:1", "command": ["serve", "--port", "80"], "entrypoint": ["/bin/run"],
        "env": { "A": "1", "B": "two words=x" },
        "ports": [
            { "host_ip": "127.0.0.1", "host_port": 8080, "container_port": 80 },
            { "host_port": 9000, "host_port_end": 9010, "container_port": 90, "protocol": "udp" },
        ],
        "expose": [{ "port": 70 }], "publish_all": true,
        "mounts": [
            { "kind": "bind", "source": "/srv", "target": "/data", "read_only": true, "options": ["z"] },
            { "kind": "volume", "source": "store", "target": "/store" },
            { "kind": "bind", "source": "/etc/x", "target": "/etc/x", "must_exist": true, "options": ["rslave"] },
            { "kind": "volume", "source": "nfs", "target": "/nfs", "driver": "local",
              "driver_options": { "type": "nfs" } },
            { "kind": "tmpfs", "target": "/tmp", "options": ["size=64m"] },
            { "kind": "volume", "target": "/own" },
        ],
        "volumes_from": ["other:ro"],
        "networks": [
            { "name": "front", "aliases": ["www"], "ipv4": "172.30.0.9", "mac": "02:42:ac:11:00:02" },
            { "name": "back", "ipv6": "fd00::9" },
        ],
        "restart": { "when": "on-failure", "max_retries": 3 },
        "resources": {
            "cpus": 1.5, "cpu_shares": 512, "cpuset_cpus": "0", "memory": 64 << 20, "memory_swap": -1,
            "memory_reservation": 32 << 20, "pids": 100, "shm_size": 1 << 20, "oom_score_adj": -5,
            "blkio_weight": 100, "ulimits": [{ "name": "nofile", "soft": 10, "hard": 20 }],
            "devices": [{ "host": "/dev/null", "container": "/dev/x", "permissions": "r" }],
            "device_cgroup_rules": ["c 1:3 mr"], "gpus": { "count": -1, "capabilities": ["video"] },
        },
        "cap_add": ["NET_ADMIN"], "cap_drop": ["CHOWN"], "security_opt": ["no-new-privileges"], "read_only": true,
        "init": true, "user": "7:8", "group_add": ["9"], "working_dir": "/srv", "hostname": "host", "domainname": "lan",
        "health": { "test": ["CMD-SHELL", "true"], "interval_ms": 1500, "timeout_ms": 2000, "retries": 4 },
        "labels": { "tier": "front" }, "dns": ["1.1.1.1"], "dns_search": ["lan"], "dns_options": ["ndots:1"],
        "extra_hosts": ["db:10.0.0.1"], "log": { "driver": "json-file", "options": { "max-size": "1m" } },
        "stop_signal": "SIGINT", "stop_timeout": 7, "tty": true, "stdin": true,
        "sysctls": { "net.core.somaxconn": "10" }, "ipc": "private", "runtime": "runc",
    })
}

#[test]
fn what_a_body_is_made_from_is_read_from_it() {
    let mut wanted = spec(everything());
    wanted.check().unwrap();
    let read = read(Some("web".to_owned()), &new_body(&wanted));
    wanted.mounts.sort_by(|one, other| one.target.cmp(&other.target));
    let mut found = read;
    found.mounts.sort_by(|one, other| one.target.cmp(&other.target));
    assert_eq!(found, wanted);
}

#[test]
fn an_engine_is_told_only_what_is_asked_for() {
    assert_eq!(new_body(&spec(json!({ "image": "nginx" })))["Image"], "nginx");
    let body = new_body(&spec(json!({ "image": "nginx" })));
    assert_eq!(body, json!({ "Image": "nginx", "HostConfig": {} }));
}

#[test]
fn only_what_was_changed_is_written() {
    let before = json!({
        "Image": "nginx", "Env": ["Z=1", "A=1", "B=2"], "Unknown": { "x": 1 },
        "HostConfig": { "Binds": ["/a:/a:z", "/b:/b"], "Mounts": [{ "Type": "volume", "Source": "v", "Target": "/v",
            "VolumeOptions": { "Labels": { "l": "1" } } }], "Memory": 0, "Future": [1], "OomKillDisable": null },
        "NetworkingConfig": { "EndpointsConfig": { "front": { "DriverOpts": { "o": "1" }, "Aliases": ["x"] } } },
    });
    let was = read(None, &before);
    let mut wanted = was.clone();
    wanted.env.remove("A");
    wanted.env.insert("B".to_owned(), "3".to_owned());
    wanted.env.insert("C".to_owned(), "4".to_owned());
    wanted.mounts.retain(|mount| mount.target != "/b");
    let mut body = before.clone();
    write(&mut body, &was, &wanted);
    let mut expected = before;
    expected["Env"] = json!(["Z=1", "B=3", "C=4"]);
    expected["HostConfig"]["Binds"] = json!(["/a:/a:z"]);
    assert_eq!(body, expected);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (field, part) in [
        ("image", json!({ "image": "" })),
        ("name", json!({ "name": "a/b" })),
        ("env", json!({ "env": { "A": "x".repeat(10 << 20) } })),
        ("env.A=B", json!({ "env": { "A=B": "x" } })),
        ("env.A", json!({ "env": { "A": "x\0y" } })),
        ("ports[1].container_port", json!({ "ports": [{ "container_port": 1 }, { "container_port": 0 }] })),
        ("ports[0].host_port_end", json!({ "ports": [{ "container_port": 1, "host_port": 9, "host_port_end": 8 }] })),
        ("mounts[0].target", json!({ "mounts": [{ "kind": "volume", "target": "data" }] })),
        ("mounts[0].source", json!({ "mounts": [{ "kind": "bind", "source": "./a", "target": "/a" }] })),
        ("networks", json!({ "networks": [{ "name": "host" }, { "name": "front" }] })),
        ("networks[0].mac", json!({ "networks": [{ "name": "front", "mac": "02:42" }] })),
        ("restart.max_retries", json!({ "restart": { "when": "always", "max_retries": 2 } })),
        ("auto_remove", json!({ "restart": { "when": "always" }, "auto_remove": true })),
        ("resources.memory", json!({ "resources": { "memory": 1 } })),
        ("resources.memory_swap", json!({ "resources": { "memory_swap": 1 } })),
        ("resources.cpus", json!({ "resources": { "cpus": -1.0 } })),
        ("health.test", json!({ "health": { "test": ["curl"] } })),
        ("dns", json!({ "dns": vec!["x"; 2000] })),
    ] {
        let mut value = json!({ "image": "nginx" });
        value.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        assert_eq!(spec(value).check().unwrap_err().field, field);
    }
    assert!(serde_json::from_value::<ContainerSpec>(json!({ "image": "nginx", "colour": "red" })).is_err());
}

fn parse(command: &str) -> Result<ParsedRun, RunError> {
    DockerRun { command: command.to_owned() }.parse()
}

fn same(command: &str, expected: Value) {
    let parsed = parse(command).unwrap();
    assert_eq!(parsed.spec, spec(expected), "{command}");
    assert_eq!(parsed.remarks, [], "{command}");
}

#[test]
fn a_line_over_several_lines_with_quotes_is_read() {
    let line = "  sudo docker run -d --name=web \\\n  -e 'GREETING=two words' -e \"NAME=a\\\"b\" \\\r\n -p 8080:80 nginx:1 \
                sh -c 'echo $HOME; exit'  # all\n";
    let expected = json!({ "name": "web", "image": "nginx:1", "env": { "GREETING": "two words", "NAME": "a\"b" },
        "ports": [{ "host_port": 8080, "container_port": 80 }], "command": ["sh", "-c", "echo $HOME; exit"] });
    same(line, expected);
    same(
        "docker container run -itd --rm busybox",
        json!({ "image": "busybox", "tty": true, "stdin": true,
        "auto_remove": true }),
    );
    assert!(!parse("docker create nginx").unwrap().start);
}

#[test]
fn ports_are_read_with_addresses_ranges_and_protocols() {
    let ports =
        |text: &str| serde_json::to_value(parse(&format!("docker run -p {text} x")).unwrap().spec.ports).unwrap();
    let port = |ip: Value, host: Value, end: Value, container: u16, protocol: &str| {
        json!({ "host_ip": ip, "host_port": host, "host_port_end": end, "container_port": container,
                "protocol": protocol })
    };
    let null = || Value::Null;
    assert_eq!(ports("80"), json!([port(null(), null(), null(), 80, "tcp")]));
    assert_eq!(ports("127.0.0.1::53/udp"), json!([port(json!("127.0.0.1"), null(), null(), 53, "udp")]));
    assert_eq!(ports("[::1]:8080:80"), json!([port(json!("::1"), json!(8080), null(), 80, "tcp")]));
    assert_eq!(ports("8000-8010:80"), json!([port(null(), json!(8000), json!(8010), 80, "tcp")]));
    let two = [port(null(), json!(8000), null(), 80, "tcp"), port(null(), json!(8001), null(), 81, "tcp")];
    assert_eq!(ports("8000-8001:80-81"), json!(two));
    for wrong in ["8000-8002:80-81", "0:80", "80/tls", "x:80", "70000"] {
        assert!(matches!(parse(&format!("docker run -p {wrong} x")), Err(RunError::Value { .. })), "{wrong}");
    }
}

#[test]
fn mounts_networks_and_devices_are_read() {
    same(
        "docker run -v /srv:/data:ro,z -v store:/store -v /own --tmpfs /tmp:size=64m --mount \
         type=bind,src=/etc/x,dst=/etc/x,readonly --mount 'type=volume,source=nfs,target=/nfs,volume-driver=local,\
         \"volume-opt=o=addr=1.2.3.4,rw\"' --gpus all --device /dev/snd --ulimit nofile=1:2 x",
        json!({ "image": "x", "mounts": [
            { "kind": "bind", "source": "/srv", "target": "/data", "read_only": true, "options": ["z"] },
            { "kind": "volume", "source": "store", "target": "/store" },
            { "kind": "volume", "target": "/own" },
            { "kind": "tmpfs", "target": "/tmp", "options": ["size=64m"] },
            { "kind": "bind", "source": "/etc/x", "target": "/etc/x", "read_only": true, "must_exist": true },
            { "kind": "volume", "source": "nfs", "target": "/nfs", "driver": "local",
              "driver_options": { "o": "addr=1.2.3.4,rw" } },
        ], "resources": { "gpus": { "count": -1 }, "ulimits": [{ "name": "nofile", "soft": 1, "hard": 2 }],
            "devices": [{ "host": "/dev/snd", "container": "/dev/snd", "permissions": "rwm" }] } }),
    );
    same(
        "docker run --network front --network name=back,alias=db,ip=10.0.0.7 --network-alias www --ip 172.30.0.9 x",
        json!({ "image": "x", "networks": [
            { "name": "front", "aliases": ["www"], "ipv4": "172.30.0.9" },
            { "name": "back", "aliases": ["db"], "ipv4": "10.0.0.7" },
        ] }),
    );
    let gpus =
        |text: &str| serde_json::to_value(parse(&format!("docker run --gpus {text} x")).unwrap().spec.resources.gpus);
    assert_eq!(gpus("device=0,2").unwrap()["ids"], json!(["0", "2"]));
    assert_eq!(gpus("'\"device=0,1\",capabilities=video'").unwrap()["capabilities"], json!(["video"]));
    assert_eq!(gpus("2").unwrap()["count"], 2);
}

#[test]
fn resources_health_and_policies_are_read() {
    same(
        "docker run -m 512m --memory-swap=-1 --cpus 1.5 --pids-limit 9 --shm-size 64mb --restart on-failure:3 \
         --health-cmd 'curl -f x' --health-interval 1m30s --health-timeout 500ms --health-retries 2 --entrypoint '' \
         --stop-timeout 7 --pull always --log-opt max-size=1m --sysctl a.b=1 --read-only=false x",
        json!({ "image": "x", "pull": "always", "entrypoint": [], "stop_timeout": 7,
            "resources": { "memory": 512 << 20, "memory_swap": -1, "cpus": 1.5, "pids": 9, "shm_size": 64 << 20 },
            "restart": { "when": "on-failure", "max_retries": 3 }, "sysctls": { "a.b": "1" },
            "log": { "driver": "", "options": { "max-size": "1m" } },
            "health": { "test": ["CMD-SHELL", "curl -f x"], "interval_ms": 90_000, "timeout_ms": 500, "retries": 2 } }),
    );
    same("docker run --no-healthcheck x", json!({ "image": "x", "health": { "test": ["NONE"] } }));
}

#[test]
fn nothing_of_a_line_is_dropped_in_silence() {
    let parsed = parse("docker run -e KEY --env-file ./x --link db -v ./a:/a -v $PWD:/b --annotation a=b x").unwrap();
    let remarks: Vec<_> = parsed.remarks.iter().map(|remark| (remark.part.as_str(), json!(remark.kind))).collect();
    let expected = [
        ("KEY", "value_needed"),
        ("--env-file ./x", "file_not_read"),
        ("--link", "left_out"),
        ("./a", "relative_path"),
        ("$PWD:/b", "not_expanded"),
        ("$PWD", "relative_path"),
        ("--annotation", "left_out"),
    ];
    assert_eq!(remarks, expected.map(|(part, kind)| (part, json!(kind))));
    for (line, error) in [
        ("ls -l", RunError::NoRun),
        ("docker ps", RunError::NoRun),
        ("docker run", RunError::NoImage),
        ("docker run -e", RunError::NoValue("-e".to_owned())),
        ("docker run --colour red x", RunError::UnknownFlag("--colour".to_owned())),
        ("docker run -Z x", RunError::UnknownFlag("-Z".to_owned())),
        ("docker run x && rm -rf /", RunError::Operator("&".to_owned())),
        ("docker run 'x", RunError::Quote('\'')),
        ("docker run x\ndocker run y", RunError::Operator("a new line".to_owned())),
    ] {
        assert_eq!(parse(line), Err(error), "{line}");
    }
    assert_eq!(parse(&"x".repeat(100_000)), Err(RunError::TooLong));
    for text in ["", "\\", "\"", "-", "--", "docker run -", "docker run --", "docker run --=x", "é", "docker run -é"]
    {
        assert!(parse(text).is_err(), "{text}");
    }
}
