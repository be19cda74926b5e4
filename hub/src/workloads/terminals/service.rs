//! Opening terminals, and what becomes of each.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use windflow_protocol::ids::EnvironmentId;

use super::engine::{Host, OpenError, Program, ProgramIo};
use super::model::{Aim, Ending, Plan, Terminal, TerminalId, Why};
use super::running::{LEFT_FOR, Running};
use super::screen::{Recorded, Screen};
use crate::app::App;
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};
use crate::fleet::environments::Environment;
use crate::http::websocket::Place;
use crate::http::{Caller, Permission, Principal, Reach, UserId};
use crate::identity::audit::{Action, Actor, Entry, Outcome};
use crate::tunnel::Session;
use crate::workloads::containers;
use crate::workloads::recordings::NewRecording;

/// How a program is told that its terminal is gone: as by a line that hangs
/// up, and if it does not mind that, for good.
const FAREWELLS: [&str; 2] = ["HUP", "KILL"];
/// How long it may take to end after each.
const FAREWELL_GRACE: Duration = Duration::from_secs(3);

/// How long all of that may take when the hub stops.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(12);

/// How long a program is remembered that could not be told, since the way to
/// its engine was lost.
const ORPHAN_FOR: Duration = Duration::from_secs(15 * 60);

/// A terminal that is to be opened.
struct Opening {
    id: TerminalId,
    caller: Caller,
    known: Environment,
    host: Host,
    container: ContainerId,
    plan: Plan,
}

/// The user for whom a caller acts; none is the operator on this machine.
pub fn owner(caller: &Caller) -> Option<UserId> {
    caller.principal.as_ref().and_then(Principal::user).map(|user| user.id)
}

impl App {
    /// Opens a terminal. What came of it is recorded whatever happens, also
    /// where the caller does not wait for it.
    ///
    /// # Errors
    /// Where there is no room for it, and as its session and its engine say.
    pub(super) async fn open_terminal(
        self: &Arc<Self>,
        environment: EnvironmentId,
        container: ContainerId,
        plan: Plan,
        caller: &Caller,
    ) -> ApiResult<Terminal> {
        let host = Host { session: self.session(environment).await?, engines: self.engines.clone() };
        let place = self.terminals.places.take(owner(caller)).ok_or_else(|| {
            ApiError::unavailable("too_many_terminals", "Too many terminals are open. Close some of them.")
        })?;
        let known = self.fleet.find_environment(environment).await?;
        let known = known.ok_or_else(|| ApiError::not_found("environment"))?;
        let opening = Opening { id: TerminalId::generate(), caller: caller.clone(), known, host, container, plan };
        let entry =
            begun(&opening).called(self.inventories.name_of(environment, opening.container.as_str()).as_deref());
        self.fleet.note(entry.clone().outcome(Outcome::Begun)).await?;
        let app = Arc::clone(self);
        let opening = self.terminals.tasks.track_future(async move {
            match app.start(opening).await {
                Ok((terminal, io)) => {
                    let view = terminal.view();
                    app.terminals.hold(&terminal);
                    let shared = Arc::clone(&app);
                    let running = async move { shared.run_terminal(&terminal, io, entry, place).await };
                    app.lifecycle.tasks.spawn(app.terminals.tasks.track_future(running));
                    Ok(view)
                }
                Err(error) => {
                    let ended = entry.outcome(Outcome::Failed).fact("error", json!(error.to_string()));
                    app.note_terminal(ended).await;
                    Err(ApiError::from(error))
                }
            }
        });
        self.lifecycle.tasks.spawn(opening).await.map_err(ApiError::internal)?
    }

    /// A terminal of this caller, where they may have one: a token of theirs may
    /// be good for other environments only.
    ///
    /// # Errors
    /// 404 where there is none, or it is another's, 403 where they may do other
    /// things there.
    pub(super) async fn terminal(&self, id: TerminalId, caller: &Caller, reach: &Reach) -> ApiResult<Arc<Running>> {
        let terminal = self.terminals.find(id, owner(caller)).ok_or_else(|| ApiError::not_found("terminal"))?;
        let environment = terminal.host.session.environment;
        reach.require_of(Permission::ContainersExec, Some(environment), "terminal").await?;
        Ok(terminal)
    }

    async fn start(self: &Arc<Self>, opening: Opening) -> Result<(Arc<Running>, ProgramIo), OpenError> {
        let Opening { host, plan, .. } = &opening;
        let program = host.prepare(opening.container.clone(), plan, opening.id).await?;
        let recorder = match opening.known.record_terminals {
            true => {
                let new = self.recording_of(&opening, &program);
                Some(self.begin_recording(new).await.map_err(OpenError::Unrecorded)?)
            }
            false => None,
        };
        let io = host.join(&program, plan.size).await.inspect_err(|_| {
            if let Some(recorder) = &recorder {
                recorder.discard();
            }
        })?;
        let mut screen = Screen::new(plan.size);
        screen.recorded = recorder.as_ref().map(|_| Recorded::On);
        let (opened_at, screen) = (self.clock.now(), watch::Sender::new(screen));
        let Opening { id, caller, host, .. } = opening;
        let owner = owner(&caller);
        Ok((Arc::new(Running { id, owner, host, program, opened_at, recorder, screen }), io))
    }

    /// The recording that a terminal is to have.
    fn recording_of(&self, opening: &Opening, program: &Program) -> NewRecording {
        let Opening { id, caller, known, container, plan, .. } = opening;
        NewRecording {
            id: id.0,
            environment: known.id.0,
            environment_name: known.name.to_string(),
            container: container.as_str().to_owned(),
            container_name: self.inventories.name_of(known.id, container.as_str()),
            user: owner(caller),
            user_name: Actor::from(caller).name(),
            command: program.command().map(masked_words),
            size: (plan.size.columns, plan.size.rows),
        }
    }

    /// Carries a terminal to its end, and keeps it a moment longer for those
    /// who come back to see how it ended.
    async fn run_terminal(&self, terminal: &Running, io: ProgramIo, entry: Entry, place: Place<Option<UserId>>) {
        let ending = self.carry_to_end(terminal, io).await;
        let seconds = self.clock.now().since(terminal.opened_at).as_secs_f64();
        let entry = entry.fact("command", terminal.program.command().map_or(Value::Null, masked));
        let entry = entry.fact("seconds", json!(seconds)).fact("exit_code", json!(ending.exit_code));
        let entry = match &terminal.recorder {
            Some(recorder) => entry.fact("recording", json!(recorder.finish().await.as_str())),
            None => entry,
        };
        self.note_terminal(entry.fact("why", json!(ending.why.as_str()))).await;
        terminal.end(ending);
        drop(place);
        let keeping = async {
            tokio::select! {
                () = tokio::time::sleep(LEFT_FOR) => {}
                _ = terminal.until_told() => {}
                () = self.lifecycle.soft.cancelled() => {}
            }
            self.terminals.forget(terminal.id);
        };
        if ending.why == Why::Lost && terminal.program.is_own() {
            tokio::join!(keeping, self.end_orphan(terminal));
        } else {
            keeping.await;
        }
    }

    /// Ends a program that was left to itself when the way to its engine was
    /// lost, as soon as there is one again.
    async fn end_orphan(&self, terminal: &Running) {
        let session = tokio::select! {
            session = self.engine_is_back(terminal.host.session.environment) => session,
            () = tokio::time::sleep(ORPHAN_FOR) => return,
            () = self.lifecycle.soft.cancelled() => return,
        };
        let host = Host { session, engines: self.engines.clone() };
        for signal in FAREWELLS {
            if !host.runs(&terminal.program).await {
                return;
            }
            if let Err(error) = host.signal(&terminal.program, signal).await {
                tracing::debug!(terminal.id = %terminal.id, %error, signal, "a program was not told to end");
            }
            tokio::select! {
                () = tokio::time::sleep(FAREWELL_GRACE) => {}
                () = self.lifecycle.soft.cancelled() => return,
            }
        }
    }

    /// Waits until an environment's engine can be asked.
    async fn engine_is_back(&self, environment: EnvironmentId) -> Arc<Session> {
        let mut newest = self.fleet.sessions().feed().newest();
        loop {
            newest.borrow_and_update();
            let session = self.engines.session(environment).ok();
            if let Some(session) = session.filter(|session| session.engine_facts().is_some()) {
                return session;
            }
            if newest.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn carry_to_end(&self, terminal: &Running, io: ProgramIo) -> Ending {
        let mut carrying = std::pin::pin!(terminal.carry(io));
        let why = tokio::select! {
            () = &mut carrying => return terminal.host.ending(&terminal.program).await,
            why = terminal.until_over() => why,
            () = self.until_not_permitted(terminal) => Why::NotPermitted,
            () = self.lifecycle.soft.cancelled() => Why::HubStops,
        };
        terminal.tell_to_end(why);
        let farewell = async {
            match terminal.program.is_own() {
                true => hang_up(terminal, carrying).await,
                false => None,
            }
        };
        let cut_short = async {
            self.lifecycle.soft.cancelled().await;
            tokio::time::sleep(FAREWELL_DEADLINE).await;
        };
        tokio::select! {
            exit_code = farewell => Ending { exit_code, why },
            () = cut_short => Ending { exit_code: None, why },
        }
    }

    /// Ends when its user may not have it any more.
    async fn until_not_permitted(&self, terminal: &Running) {
        let (places, environment) = (self.fleet.clone(), terminal.host.session.environment);
        self.identity.until_refused(places, terminal.owner, Permission::ContainersExec, environment).await;
    }

    async fn note_terminal(&self, entry: Entry) {
        if let Err(error) = self.fleet.note(entry).await {
            tracing::error!(%error, "the end of a terminal was not recorded");
        }
    }
}

/// Ends the terminal's program. An engine lets it run on when its terminal is
/// closed, so it is told in the container.
async fn hang_up(terminal: &Running, mut carrying: Pin<&mut impl Future<Output = ()>>) -> Option<i64> {
    for signal in FAREWELLS {
        let told = async {
            if let Err(error) = terminal.host.signal(&terminal.program, signal).await {
                tracing::debug!(terminal.id = %terminal.id, %error, signal, "a program was not told to end");
            }
            tokio::time::sleep(FAREWELL_GRACE).await;
        };
        tokio::select! {
            () = &mut carrying => return terminal.host.ending(&terminal.program).await.exit_code,
            () = told => {}
        }
    }
    tracing::warn!(terminal.id = %terminal.id, "a terminal was closed and its program runs on in the container");
    None
}

/// A command as it is put on record.
fn masked(command: &[String]) -> Value {
    let mut command = json!(command);
    containers::mask(&mut command);
    command
}

/// The same, as its words.
fn masked_words(command: &[String]) -> Vec<String> {
    let Value::Array(words) = masked(command) else { return Vec::new() };
    words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

fn begun(opening: &Opening) -> Entry {
    let what = match &opening.plan.aim {
        Aim::Shell => json!("shell"),
        Aim::Command(command) => masked(command),
        Aim::Main => json!("attach"),
    };
    Entry::new(&Actor::from(&opening.caller), Action::TerminalOpen, &opening.id.to_string())
        .environment(opening.known.id)
        .fact("container", json!(opening.container.as_str()))
        .fact("opened", what)
        .fact("user", json!(opening.plan.user))
        .fact("recorded", json!(opening.known.record_terminals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_recorded_without_its_secrets() {
        let command = ["mysql", "--user", "ada", "--password", "hunter2", "--host=db"].map(str::to_owned);
        assert_eq!(masked(&command), json!(["mysql", "--user", "ada", "--password", "********", "--host=db"]));
    }
}
