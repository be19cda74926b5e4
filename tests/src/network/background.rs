//! A small runtime on its own thread, for the parts of the world that a test
//! plays itself.

use std::future::Future;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

/// Runs one future until it is dropped. Tasks that the future left behind end
/// with it.
#[derive(Debug)]
pub(crate) struct Background {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts what `work` returns on a new thread.
    pub(crate) fn start<W, F>(name: &str, work: W) -> Self
    where
        W: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("the system has room for one more runtime");
            runtime.block_on(async { stopped.run_until_cancelled(work()).await });
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        Self { stop, thread: Some(thread.expect("the system has room for one more thread")) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended
            && !std::thread::panicking()
        {
            panic!("a part that the test plays itself panicked");
        }
    }
}
