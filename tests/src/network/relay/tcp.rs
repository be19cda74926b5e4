//! The TCP half of the relay.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Controls, Direction, Entrance, Flow, Shared};

/// Pieces that travel in one direction of a connection, at most.
const TRAVELLING_MAX: usize = 1024;
/// The largest piece that is read at once, in bytes.
const READ_MAX: usize = 16 * 1024;
/// How long the target may take to accept.
const DIAL_DEADLINE: Duration = Duration::from_secs(5);
/// Longer than any test.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Accepts connections and relays each until the relay is dropped.
pub(super) async fn relay(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
    let mut tasks = JoinSet::new();
    let mut silent = VecDeque::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        while tasks.try_join_next().is_some() {}
        let entrance = shared.controls.borrow().tcp;
        match entrance {
            Entrance::Open => drop(tasks.spawn(connect(client, Arc::clone(&shared)))),
            Entrance::Silent => silent.push_back(client),
            Entrance::Refusing => reset_when_dropped(&client),
        }
    }
}

/// How a connection ended.
enum End {
    /// Both ends have ended it.
    ByItself,
    /// Both ends are reset.
    Cut,
    /// The agent's end is reset; the hub's is left as it is.
    Forgotten,
}

async fn connect(mut client: TcpStream, shared: Arc<Shared>) {
    let mut controls = shared.controls.subscribe();
    let begun = controls.borrow_and_update().clone();
    let Ok(Ok(mut server)) = timeout(DIAL_DEADLINE, TcpStream::connect(shared.target)).await else {
        return reset_when_dropped(&client);
    };
    shared.connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a TCP socket has this option");
    }
    let reset_at = Instant::now() + shared.options.reset_after.unwrap_or(NEVER);
    let active = Mutex::new(Instant::now());
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pass(from_client, to_server, Direction::ToHub, &shared, &active);
        let down = pass(from_server, to_client, Direction::ToAgent, &shared, &active);
        let ordered = controls.wait_for(|now| now.cuts != begun.cuts || now.forgotten != begun.forgotten);
        tokio::select! {
            _ = async { tokio::join!(up, down) } => End::ByItself,
            now = ordered => match now.is_ok_and(|now| now.cuts == begun.cuts) {
                true => End::Forgotten,
                false => End::Cut,
            },
            () = sleep_until(reset_at) => End::Cut,
            () = idle(&active, shared.options.idle_max.unwrap_or(NEVER)) => End::Cut,
        }
    };
    match end {
        End::ByItself => {}
        End::Cut => {
            reset_when_dropped(&client);
            reset_when_dropped(&server);
        }
        End::Forgotten => {
            reset_when_dropped(&client);
            drop(client);
            while let Ok(1..) = server.read(&mut [0; READ_MAX]).await {}
        }
    }
}

/// Ends when nothing has been carried for this long.
async fn idle(active: &Mutex<Instant>, most: Duration) {
    loop {
        let due = *active.lock().expect("no carrier panics") + most;
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}

/// Carries one direction to its end.
async fn pass(from: ReadHalf<'_>, to: WriteHalf<'_>, direction: Direction, shared: &Shared, active: &Mutex<Instant>) {
    let (sender, receiver) = mpsc::channel(TRAVELLING_MAX);
    tokio::join!(depart(from, (sender, active), direction, shared), arrive(to, receiver, direction, shared));
}

/// Bytes on their way and when they are due; no bytes are the end.
type Travelling = (Instant, Vec<u8>);

async fn depart(
    mut from: ReadHalf<'_>,
    (road, active): (mpsc::Sender<Travelling>, &Mutex<Instant>),
    direction: Direction,
    shared: &Shared,
) {
    let mut controls = shared.controls.subscribe();
    let mut buffer = vec![0; READ_MAX];
    loop {
        not_stalled(&mut controls, direction).await;
        let read = from.read(&mut buffer).await.unwrap_or(0);
        *active.lock().expect("no carrier panics") = Instant::now();
        let flow = controls.borrow().flow(direction);
        if flow == Flow::Swallow && read > 0 {
            continue;
        }
        shared.keep(direction, &buffer[..read]);
        let due = Instant::now() + shared.travel_time();
        if road.send((due, buffer[..read].to_vec())).await.is_err() || read == 0 {
            return;
        }
    }
}

async fn arrive(mut to: WriteHalf<'_>, mut road: mpsc::Receiver<Travelling>, direction: Direction, shared: &Shared) {
    let mut controls = shared.controls.subscribe();
    let mut free_at = Instant::now();
    while let Some((due, bytes)) = road.recv().await {
        sleep_until(due.max(free_at)).await;
        not_stalled(&mut controls, direction).await;
        if controls.borrow().flow(direction) == Flow::Swallow {
            continue;
        }
        if bytes.is_empty() {
            let _the_other_end_may_be_gone = to.shutdown().await;
            return;
        }
        free_at = free_at.max(due) + time_on_the_wire(bytes.len(), shared);
        if write_in_pieces(&mut to, &bytes, shared).await.is_err() {
            return;
        }
    }
}

async fn write_in_pieces(to: &mut WriteHalf<'_>, bytes: &[u8], shared: &Shared) -> std::io::Result<()> {
    for piece in bytes.chunks(shared.options.piece.unwrap_or(READ_MAX)) {
        to.write_all(piece).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn time_on_the_wire(length: usize, shared: &Shared) -> Duration {
    let rate = shared.options.bytes_per_second;
    rate.map(|rate| Duration::from_secs_f64(length as f64 / rate as f64)).unwrap_or_default()
}

async fn not_stalled(controls: &mut watch::Receiver<Controls>, direction: Direction) {
    let passes = controls.wait_for(|controls| controls.flow(direction) != Flow::Stall).await;
    drop(passes.expect("the relay outlives its connections"));
}

/// Has the kernel send a reset instead of an orderly end.
fn reset_when_dropped(stream: &TcpStream) {
    let at_once = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(stream, at_once).expect("a TCP socket has this option");
}
