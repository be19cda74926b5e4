//! The harness's own promise: its networks fail as they are told to.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use windflow_tests::engine::{BUSYBOX, EngineNetwork, EngineOptions, EngineTcp, EngineVersion, TestEngine};
use windflow_tests::network::{
    Blocked, ConnectProxy, Credentials, Direction, Entrance, Flow, LinkOptions, Netns, PacketOptions, Relay,
};
use windflow_tests::process::run;

const SOON: Duration = Duration::from_secs(10);

/// Both ends of one TCP connection through a relay.
struct Ends {
    relay: Relay,
    client: TcpStream,
    server: TcpStream,
}

fn connect_through(options: LinkOptions) -> Ends {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = Relay::start(listener.local_addr().unwrap(), options);
    let client = TcpStream::connect(relay.address()).unwrap();
    let (server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(SOON)).unwrap();
    }
    Ends { relay, client, server }
}

#[test]
fn a_relay_delays_each_way_and_keeps_what_it_carried() {
    let delay = Duration::from_millis(100);
    let mut ends = connect_through(LinkOptions { delay, ..LinkOptions::default() });
    let started = Instant::now();
    ends.client.write_all(b"to the hub").unwrap();
    let mut buffer = [0; 10];
    ends.server.read_exact(&mut buffer).unwrap();
    assert!(started.elapsed() >= delay);
    assert_eq!(&buffer, b"to the hub");
    assert_eq!(ends.relay.recorded(Direction::ToHub), b"to the hub");
    assert_eq!(ends.relay.recorded(Direction::ToAgent), b"");
}

#[test]
fn a_cut_is_a_reset_at_both_ends() {
    let mut ends = connect_through(LinkOptions::default());
    ends.client.write_all(b"x").unwrap();
    ends.server.read_exact(&mut [0]).unwrap();
    ends.relay.cut();
    assert_eq!(ends.client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(ends.server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_connection_is_reset_at_its_age() {
    let reset_after = Some(Duration::from_millis(50));
    let mut ends = connect_through(LinkOptions { reset_after, ..LinkOptions::default() });
    assert_eq!(ends.client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_connection_that_rests_is_reset_and_one_that_does_not_is_kept() {
    let idle_max = Some(Duration::from_millis(300));
    let mut ends = connect_through(LinkOptions { idle_max, ..LinkOptions::default() });
    let busy_until = Instant::now() + Duration::from_millis(900);
    ends.server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    while Instant::now() < busy_until {
        ends.client.write_all(b"x").unwrap();
        ends.server.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(ends.client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_forgotten_connection_is_reset_at_the_agents_end_and_silent_at_the_hubs() {
    let mut ends = connect_through(LinkOptions::default());
    ends.client.write_all(b"x").unwrap();
    ends.server.read_exact(&mut [0]).unwrap();
    ends.relay.forget();
    assert_eq!(ends.client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    ends.server.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    ends.server.write_all(b"anybody?").unwrap();
    assert_eq!(ends.server.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn swallowed_bytes_never_arrive_and_nobody_is_told() {
    let mut ends = connect_through(LinkOptions::default());
    ends.relay.set_flow(Direction::ToHub, Flow::Swallow);
    ends.client.write_all(b"lost").unwrap();
    drop(ends.client);
    ends.server.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(ends.server.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn stalled_bytes_arrive_once_the_flow_passes() {
    let mut ends = connect_through(LinkOptions::default());
    ends.relay.set_flow(Direction::ToAgent, Flow::Stall);
    ends.server.write_all(b"late").unwrap();
    ends.client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(ends.client.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    ends.relay.set_flows(Flow::Pass);
    ends.client.set_read_timeout(Some(SOON)).unwrap();
    let mut buffer = [0; 4];
    ends.client.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"late");
}

#[test]
fn a_closed_entrance_resets_and_an_end_is_passed_on() {
    let mut ends = connect_through(LinkOptions { piece: Some(1), ..LinkOptions::default() });
    ends.client.write_all(b"in single bytes").unwrap();
    ends.client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    ends.server.read_to_string(&mut text).unwrap();
    assert_eq!(text, "in single bytes");

    ends.relay.set_tcp_entrance(Entrance::Refusing);
    let mut refused = TcpStream::connect(ends.relay.address()).unwrap();
    assert_eq!(refused.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn datagrams_go_both_ways_until_they_are_blocked() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let relay = Relay::start(server.local_addr().unwrap(), LinkOptions::default());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(relay.address()).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut buffer = [0; 16];
    client.send(b"ping").unwrap();
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(&buffer[..length], from).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), 4);
    relay.set_udp_entrance(Entrance::Silent);
    client.send(b"ping").unwrap();
    server.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(server.recv_from(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_namespace_reaches_the_machine_until_its_traffic_is_blocked() {
    let namespace = Netns::new();
    let listener = TcpListener::bind((namespace.outside(), 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut connect = Command::new("busybox");
    connect.args(["nc", "-w", "1", &namespace.outside().to_string(), &port, "-e", "true"]);
    run(&mut namespace.wrap(&connect), SOON).succeeded();
    namespace.block(Blocked::OutgoingTcp);
    run(&mut namespace.wrap(&connect), SOON).failed();
    namespace.unblock();
    run(&mut namespace.wrap(&connect), SOON).succeeded();
}

/// A socket on either end of a namespace's link, joined to each other.
fn datagram_ends(namespace: &Netns) -> (UdpSocket, UdpSocket) {
    let near = UdpSocket::bind((namespace.outside(), 0)).unwrap();
    let far = namespace.within(|| UdpSocket::bind((namespace.inside(), 0)).unwrap());
    near.connect(far.local_addr().unwrap()).unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(SOON)).unwrap();
    }
    (near, far)
}

#[test]
fn a_packet_link_delays_each_way() {
    let delay = Duration::from_millis(50);
    let namespace = Netns::over(PacketOptions { delay, ..PacketOptions::default() });
    let (near, far) = datagram_ends(&namespace);
    let mut buffer = [0; 16];
    let started = Instant::now();
    far.send(b"there").unwrap();
    assert_eq!(near.recv(&mut buffer).unwrap(), 5);
    assert!(started.elapsed() >= delay);
    near.send(b"and back").unwrap();
    assert_eq!(far.recv(&mut buffer).unwrap(), 8);
    assert!(started.elapsed() >= 2 * delay);
}

#[test]
fn a_packet_link_loses_some_packets_and_others_arrive() {
    let namespace = Netns::over(PacketOptions { lost_per_mille: 500, ..PacketOptions::default() });
    let (near, far) = datagram_ends(&namespace);
    for _ in 0..100 {
        far.send(b"maybe").unwrap();
    }
    near.recv(&mut [0; 16]).unwrap();
    let counted = || {
        let counts = namespace.packets().counts();
        counts.carried + counts.lost >= 100 && counts.lost > 0 && counts.carried > 0
    };
    windflow_tests::wait::until_true("all packets to meet their end", SOON, counted);
}

#[test]
fn tcp_comes_through_a_link_that_loses_packets_and_changes_when_told() {
    let namespace = Netns::over(PacketOptions::default());
    namespace.packets().change(|link| link.lost_per_mille = 100);
    let listener = TcpListener::bind((namespace.outside(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let sent = (0..200_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    let (told, expected) = (sent.clone(), sent.len());
    let received = std::thread::scope(|scope| {
        let mut client = namespace.within(|| TcpStream::connect(address).unwrap());
        let (mut server, _) = listener.accept().unwrap();
        server.set_read_timeout(Some(SOON)).unwrap();
        scope.spawn(move || client.write_all(&told).unwrap());
        let mut received = vec![0; expected];
        server.read_exact(&mut received).unwrap();
        received
    });
    assert!(received == sent, "other bytes arrived than were sent");
    assert!(namespace.packets().counts().lost > 0);
}

#[test]
fn a_way_out_into_nowhere_tells_what_was_sent_there_and_the_loopback_is_another() {
    let namespace = Netns::into_nowhere();
    namespace.within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for address in [[127, 0, 0, 1], [192, 0, 2, 1], [198, 51, 100, 1]] {
            socket.send_to(b"anybody?", SocketAddr::from((address, 9))).unwrap();
        }
    });
    let seen = || namespace.way_out().destinations().iter().map(ToString::to_string).collect::<Vec<_>>();
    windflow_tests::wait::until_true("both to be seen", SOON, || seen() == ["192.0.2.1", "198.51.100.1"]);
}

#[test]
fn an_engine_lives_in_a_namespace_with_a_bridge_of_its_own() {
    let namespace = Netns::new();
    let network = EngineNetwork::Namespace(namespace.name().to_owned());
    let engine = TestEngine::start_with(EngineVersion::V20_10, EngineOptions { network, tcp: EngineTcp::None });
    engine.import_busybox();
    engine.docker(["run", "--detach", "--publish", "8080:80", BUSYBOX, "httpd", "-f", "-h", "/etc"]).succeeded();
    let address = SocketAddr::from((namespace.inside(), 8080));
    windflow_tests::wait::until_true("the container's port", SOON, || TcpStream::connect(address).is_ok());
}

#[test]
fn the_connect_proxy_lets_only_those_with_the_right_header_through() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let proxy = ConnectProxy::start(Credentials::Header("Basic dXNlcjpwYXNz".to_owned()));
    assert!(ask(&proxy, target, "").starts_with("HTTP/1.1 407"));
    assert!(ask(&proxy, target, "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n").starts_with("HTTP/1.1 200"));
    listener.accept().unwrap();
    assert_eq!(proxy.seen().len(), 2);
}

fn ask(proxy: &ConnectProxy, target: SocketAddr, header: &str) -> String {
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{header}\r\n").unwrap();
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}
