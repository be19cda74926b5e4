//! A terminal that runs: carries bytes between its program and its screen, and
//! knows when it is time to end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::engine::{Host, Program};
use super::frames::Frames;
use super::model::{Ending, Size, Terminal, TerminalId, Why};
use super::screen::{CHUNK_MAX, Recorded, Screen};
use crate::clock::Timestamp;
use crate::http::UserId;
use crate::workloads::recordings::Recorder;

/// How long a terminal waits for somebody to look again: a page that is loaded
/// again, a phone that changes its network.
pub const LEFT_FOR: Duration = Duration::from_secs(60);
/// How long a terminal stays open at which nobody types.
pub const IDLE_FOR: Duration = Duration::from_secs(30 * 60);

/// One terminal, from when it was opened until it is forgotten.
#[derive(Debug)]
pub struct Running {
    /// Its id.
    pub id: TerminalId,
    /// Who opened it; none is the operator on this machine.
    pub owner: Option<UserId>,
    /// Where its program is.
    pub host: Host,
    /// What it is joined to.
    pub program: Program,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// What records it, where its environment asks for that.
    pub recorder: Option<Arc<Recorder>>,
    /// What both of its ends share.
    pub screen: watch::Sender<Screen>,
}

impl Running {
    /// What its owner is told of it.
    pub fn view(&self) -> Terminal {
        Terminal {
            id: self.id,
            environment_id: self.host.session.environment.0,
            container: self.program.container().as_str().to_owned(),
            command: self.program.command().map(<[String]>::to_vec),
            tty: self.program.tty,
            takes_input: self.program.takes_input,
            recorded: self.recorder.is_some(),
            opened_at: self.opened_at,
            ended: self.screen.borrow().ended,
        }
    }

    /// Carries bytes both ways until the program's output ends.
    pub async fn carry<S: AsyncRead + AsyncWrite>(&self, io: S) {
        let (reader, writer) = tokio::io::split(io);
        let reading = async {
            match self.program.tty {
                true => self.read(reader, |bytes| bytes.to_vec()).await,
                false => {
                    let mut frames = Frames::default();
                    self.read(reader, move |bytes| frames.unpack(bytes)).await
                }
            }
        };
        let ended = tokio::select! {
            ended = reading => ended,
            failed = self.write(writer) => failed,
            () = self.follow_sizes() => Ok(()),
        };
        if let Err(error) = ended {
            tracing::debug!(terminal.id = %self.id, %error, "a terminal's program was cut off");
        }
    }

    async fn read<R>(&self, mut reader: R, mut unpack: impl FnMut(&[u8]) -> Vec<u8>) -> io::Result<()>
    where
        R: AsyncRead + Unpin,
    {
        let mut screen = self.screen.subscribe();
        let mut chunk = vec![0; CHUNK_MAX];
        loop {
            // The sender is this terminal's own.
            screen.wait_for(Screen::has_room).await.ok();
            if let Some(recorder) = &self.recorder {
                recorder.has_room().await;
            }
            let read = reader.read(&mut chunk).await?;
            if read == 0 {
                return Ok(());
            }
            let printed = unpack(&chunk[..read]);
            let recorded = self.record(&printed);
            self.screen.send_modify(|screen| {
                screen.recorded = recorded;
                screen.print(&printed);
            });
        }
    }

    /// Records what was printed before anybody sees it.
    fn record(&self, printed: &[u8]) -> Option<Recorded> {
        let recorder = self.recorder.as_ref()?;
        recorder.print(printed);
        Some(if recorder.is_cut() { Recorded::Full } else { Recorded::On })
    }

    /// Ends only when the program is cut off: one that takes no more input may
    /// still print.
    async fn write<W: AsyncWrite + Unpin>(&self, mut writer: W) -> io::Result<()> {
        let mut screen = self.screen.subscribe();
        loop {
            screen.wait_for(Screen::has_input).await.ok();
            let mut typed = Vec::new();
            self.screen.send_modify(|screen| typed = screen.next_input());
            writer.write_all(&typed).await?;
            writer.flush().await?;
        }
    }

    async fn follow_sizes(&self) {
        let mut screen = self.screen.subscribe();
        let mut told: Option<Size> = None;
        loop {
            screen.wait_for(|screen| Some(screen.size) != told).await.ok();
            let size = screen.borrow().size;
            if let Err(error) = self.host.resize(&self.program, size).await {
                tracing::debug!(terminal.id = %self.id, %error, "a terminal's program was not told its size");
            }
            if let Some(recorder) = &self.recorder {
                recorder.resize(size.columns, size.rows);
            }
            told = Some(size);
        }
    }

    /// Ends once the terminal should: somebody says so, nobody looks, nobody
    /// types, or it cannot be recorded as it must.
    pub async fn until_over(&self) -> Why {
        tokio::select! {
            why = self.until_told() => why,
            () = until_left(&self.screen) => Why::Left,
            () = until_idle(&self.screen) => Why::Idle,
            () = self.until_unrecorded() => Why::RecordingFailed,
        }
    }

    async fn until_unrecorded(&self) {
        match &self.recorder {
            Some(recorder) => recorder.broken().await,
            None => std::future::pending().await,
        }
    }

    /// Says that the terminal should end.
    pub fn tell_to_end(&self, why: Why) {
        self.screen.send_modify(|screen| {
            screen.told.get_or_insert(why);
        });
    }

    /// Notes how it ended.
    pub fn end(&self, ending: Ending) {
        self.screen.send_modify(|screen| screen.ended = Some(ending));
    }

    /// Ends once somebody said that it should.
    pub async fn until_told(&self) -> Why {
        let mut screen = self.screen.subscribe();
        let told = screen.wait_for(|screen| screen.told.is_some()).await;
        told.ok().and_then(|screen| screen.told).unwrap_or(Why::Closed)
    }
}

/// Ends once nobody has looked for a while.
async fn until_left(screen: &watch::Sender<Screen>) {
    let mut screen = screen.subscribe();
    loop {
        screen.wait_for(Screen::is_left).await.ok();
        if timeout(LEFT_FOR, screen.wait_for(|screen| !screen.is_left())).await.is_err() {
            return;
        }
    }
}

/// Ends once nobody has typed for a while.
async fn until_idle(screen: &watch::Sender<Screen>) {
    loop {
        let due = screen.borrow().typed_at + IDLE_FOR;
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> watch::Sender<Screen> {
        watch::Sender::new(Screen::new(Size { columns: 80, rows: 24 }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_waits_a_minute_for_somebody_to_look_again() {
        let (screen, began) = (screen(), Instant::now());
        let visits = async {
            for _ in 0..2 {
                tokio::time::sleep(LEFT_FOR - Duration::from_secs(1)).await;
                let mut number = 0;
                screen.send_modify(|screen| number = screen.attach(0).unwrap().number);
                tokio::time::sleep(LEFT_FOR * 2).await;
                screen.send_modify(|screen| screen.detach(number));
            }
            std::future::pending().await
        };
        tokio::select! {
            () = until_left(&screen) => {}
            () = visits => {}
        }
        assert_eq!(began.elapsed(), LEFT_FOR * 7 - Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_is_idle_half_an_hour_after_the_last_key() {
        let (screen, began) = (screen(), Instant::now());
        let keys = async {
            tokio::time::sleep(IDLE_FOR - Duration::from_secs(1)).await;
            screen.send_modify(|screen| screen.print(b"what is printed is not typed"));
            screen.send_modify(|screen| screen.type_in(0, b"x").map(drop).unwrap());
            std::future::pending().await
        };
        tokio::select! {
            () = until_idle(&screen) => {}
            () = keys => {}
        }
        assert_eq!(began.elapsed(), IDLE_FOR * 2 - Duration::from_secs(1));
    }
}
