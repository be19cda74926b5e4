//! Measuring: what is read of made-up trees of files, and what is kept.

use std::path::PathBuf;

use windflow_protocol::message::metrics::HostValue;

use super::*;

/// A meter of this host, whose engine is not there.
async fn measured(meter: &Meter) -> (Vec<Measured>, u64) {
    let address = EngineAddress::Unix(PathBuf::from("/nonexistent/docker.sock"));
    let inventory = Inventory::new();
    let mut newest = meter.follow();
    tokio::select! {
        () = meter.keep(&address, &inventory) => panic!("it measures without end"),
        number = newest.wait_for(|number| *number >= 2) => drop(number),
    }
    meter.after(0).await
}

#[tokio::test(start_paused = true)]
async fn a_host_is_measured_again_and_again_also_without_an_engine() {
    let (measured, last) = measured(&Meter::new(None)).await;
    assert_eq!((measured.len(), last), (2, 2));
    let host = measured[1].readings.iter().find(|reading| reading.subject == Subject::Host).unwrap();
    assert_eq!(host.values.len(), HostValue::COUNT);
    for known in [HostValue::Memory, HostValue::MemoryTotal, HostValue::Load1] {
        assert!(host.values[known as usize].is_some(), "{known:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_looked_at_is_measured_in_between() {
    let meter = Meter::new(None);
    let address = EngineAddress::Unix(PathBuf::from("/nonexistent/docker.sock"));
    let inventory = Inventory::new();
    let _follower = meter.follow();
    let mut glances = meter.glances();
    let watcher = meter.watcher();
    let looking = async {
        watcher.watch(vec![Subject::Host]);
        for _ in 0..3 {
            glances.changed().await.unwrap();
        }
        let glance = glances.borrow_and_update().clone().unwrap();
        assert!(glance.readings.iter().any(|reading| reading.subject == Subject::Host), "{glance:?}");
        drop(watcher);
        assert!(meter.watched().is_empty());
    };
    tokio::select! {
        () = meter.keep(&address, &inventory) => panic!("it measures without end"),
        () = looking => {}
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_measured_while_nobody_follows() {
    let meter = Meter::new(None);
    let address = EngineAddress::Unix(PathBuf::from("/nonexistent/docker.sock"));
    let inventory = Inventory::new();
    let keeping = tokio::time::timeout(REGULAR * 4, meter.keep(&address, &inventory));
    assert!(keeping.await.is_err());
    assert_eq!(meter.after(0).await.1, 0);
}
