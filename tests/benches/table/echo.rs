//! Keystrokes in a terminal: how long until each one is seen, alone and
//! beside a large download.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Target, Upgrade, runtime};
use super::save::{make_image, save};
use super::{Bed, docker, in_micros, percentile};

/// Keystrokes that are counted.
const COUNTED: usize = 300;
/// The pause between two, as of a fast typist.
const PAUSE: Duration = Duration::from_millis(10);

/// Types over each way, alone and beside a save over the same way.
pub fn measure(bed: &Bed) {
    make_image(bed);
    docker(&bed.engine, &["run", "--detach", "--name", "typed", windflow_tests::engine::BUSYBOX, "sleep", "3600"]);
    let mut direct = Vec::new();
    for way in &bed.ways {
        let alone = type_keys(&way.target);
        let beside = type_keys_beside_a_save(&way.target);
        for (setting, mut times) in [("alone", alone), ("beside a save", beside)] {
            let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
            print_echo(way.name, setting, (p50, p99), direct.first().copied());
            if way.name == "direct" && setting == "alone" {
                direct.push((p50, p99));
            }
        }
    }
}

/// The limits are sums, not ratios: direct + 0.5 ms and direct + 3 ms.
fn print_echo(way: &str, setting: &str, (p50, p99): (Duration, Duration), direct: Option<(Duration, Duration)>) {
    let required = direct.map(|(p50, p99)| {
        let limits = (p50 + Duration::from_micros(500), p99 + Duration::from_millis(3));
        format!("<= {} / {}", in_micros(limits.0), in_micros(limits.1))
    });
    let what = format!("keystroke, {way}, {setting}, p50 / p99");
    println!("{what:<52} {:>9} / {:<9} {}", in_micros(p50), in_micros(p99), required.unwrap_or_default());
}

fn type_keys_beside_a_save(target: &Target) -> Vec<Duration> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                save(target);
            }
        });
        let times = type_keys(target);
        done.store(true, Ordering::Relaxed);
        times
    })
}

fn type_keys(target: &Target) -> Vec<Duration> {
    runtime().block_on(async {
        let mut client = target.connect().await;
        let wanted = r#"{"AttachStdin":true,"AttachStdout":true,"Tty":true,"Cmd":["cat"]}"#;
        let made = client.ask("POST", "/v1.41/containers/typed/exec", wanted).await;
        let made: serde_json::Value = serde_json::from_slice(&made).expect("the engine speaks JSON");
        let path = format!("/v1.41/exec/{}/start", made["Id"].as_str().expect("an exec has an id"));
        let started = client.send("POST", &path, r#"{"Detach":false,"Tty":true}"#, Upgrade::Tcp).await;
        assert_eq!(started.status().as_u16(), 101, "the engine hands over the connection");
        let mut terminal = TokioIo::new(hyper::upgrade::on(started).await.expect("the connection is handed over"));
        let mut times = Vec::with_capacity(COUNTED);
        for _ in 0..COUNTED {
            tokio::time::sleep(PAUSE).await;
            let pressed = Instant::now();
            terminal.write_all(b"x").await.expect("the terminal listens");
            terminal.flush().await.expect("the terminal listens");
            terminal.read_exact(&mut [0]).await.expect("the terminal echoes");
            times.push(pressed.elapsed());
        }
        times
    })
}
