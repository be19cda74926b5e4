//! The one connection to Redis: made, watched, and made again.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use data_encoding::HEXLOWER;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, PushInfo, PushKind, RedisError, Value};
use ring::hmac;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Apart, Endings, Lasting, Recalled, RedisUrl, Take, scripts};

/// Redis is beside the hubs; what takes longer holds requests up.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// Connecting takes at most this long.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Redis is asked whether it is there this often at least.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The next attempt to connect comes after this, and after twice as long each
/// further time.
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// A connection that held for so long was a good one.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// While other hubs are not heard, they may have ended something this often.
const UNHEARD_EVERY: Duration = Duration::from_secs(1);
/// Bytes of a digest that are a name.
const NAME_BYTES: usize = 16;
/// Other hubs are faster this often at most.
const TRIES_MAX: usize = 32;

/// What something is called in Redis. Its text is not to be found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// What kind of thing it is.
    pub kind: &'static str,
    /// Which one of them.
    pub of: Vec<u8>,
}

impl Name {
    /// The name of this one of a kind.
    pub fn new(kind: &'static str, of: impl Into<Vec<u8>>) -> Self {
        Self { kind, of: of.into() }
    }
}

/// The way to the other hubs.
#[derive(Debug)]
pub(super) struct Link {
    redis: RedisUrl,
    /// What this hub is called among the others, for as long as it runs.
    own: Uuid,
    endings: Arc<watch::Sender<Endings>>,
    fleet: OnceLock<Fleet>,
    connection: RwLock<Option<MultiplexedConnection>>,
    /// Why Redis could not be asked, once it could not.
    failure: std::sync::Mutex<Option<String>>,
    failed: Notify,
    /// What ended on this hub.
    owed: watch::Sender<Endings>,
    /// Of what of it the other hubs were told.
    told: watch::Sender<Endings>,
    /// One change at a time, so that this hub is not in its own way.
    changing: Mutex<()>,
}

#[derive(Debug)]
struct Fleet {
    prefix: String,
    names: hmac::Key,
}

/// How it ended that Redis could be asked, or that it was tried.
#[derive(Debug)]
struct Lost {
    was_up: bool,
    why: String,
}

/// What one hub tells the others, as bytes: who says it, and what ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    from: Uuid,
    credentials: bool,
    places: bool,
}

impl Message {
    fn to_bytes(self) -> Vec<u8> {
        let what = u8::from(self.credentials) | u8::from(self.places) << 1;
        [self.from.as_bytes().as_slice(), &[what]].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&what, from) = bytes.split_last()?;
        let from = Uuid::from_slice(from).ok()?;
        Some(Self { from, credentials: what & 1 != 0, places: what & 2 != 0 })
    }
}

impl Link {
    pub fn new(redis: RedisUrl, endings: Arc<watch::Sender<Endings>>) -> Self {
        Self {
            redis,
            own: Uuid::new_v4(),
            endings,
            fleet: OnceLock::new(),
            connection: RwLock::default(),
            failure: std::sync::Mutex::default(),
            failed: Notify::new(),
            owed: watch::Sender::default(),
            told: watch::Sender::default(),
            changing: Mutex::default(),
        }
    }

    /// Whoever knows the secret is of the same fleet.
    pub fn join(&self, secret: &[u8]) {
        let names = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let fleet = hmac::sign(&names, b"fleet");
        // In braces, so that a cluster would keep all of it in one place.
        let prefix = format!("{{windflow:{}}}:", HEXLOWER.encode(&fleet.as_ref()[..NAME_BYTES]));
        self.fleet.get_or_init(|| Fleet { prefix, names });
    }

    pub fn is_up(&self) -> bool {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Notes that something ended that the other hubs have to be told.
    pub fn owe(&self, note: impl FnOnce(&mut Endings)) {
        self.owed.send_modify(note);
    }

    /// Keeps the connection for as long as the hub runs.
    pub async fn keep(self: Arc<Self>, end: CancellationToken) {
        let Some(fleet) = self.fleet.get() else { return };
        if self.redis.is_readable() {
            tracing::warn!(redis = %self.redis, "what is said to Redis is not encrypted on its way: use rediss://");
        }
        let channel = format!("{}endings", fleet.prefix);
        let (mut wait, mut is_known) = (WAIT_FIRST, false);
        loop {
            let begun = Instant::now();
            let lost = tokio::select! {
                () = end.cancelled() => break,
                lost = self.while_unheard(self.hold(&channel)) => lost,
            };
            if lost.was_up || !is_known {
                tracing::warn!(redis = %self.redis, why = lost.why, "Redis cannot be asked: this hub counts by itself");
                is_known = true;
            }
            if begun.elapsed() >= GOOD_AFTER {
                wait = WAIT_FIRST;
            }
            tokio::select! {
                () = end.cancelled() => break,
                () = self.while_unheard(tokio::time::sleep(wait)) => {}
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
        self.drop_connection();
    }

    /// Waits, and as long as no other hub is heard takes each second for one in
    /// which one of them ended something.
    async fn while_unheard<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                done = &mut future => return done,
                () = tokio::time::sleep(UNHEARD_EVERY) => {}
            }
            if !self.is_up() {
                self.endings.send_modify(|endings| endings.credentials += 1);
            }
        }
    }

    /// Connects, and returns when the connection is lost.
    async fn hold(&self, channel: &str) -> Lost {
        let connection = match self.connect(channel).await {
            Ok(connection) => connection,
            Err(error) => return Lost { was_up: false, why: error.to_string() },
        };
        let error = self.watch(connection, channel).await;
        self.drop_connection();
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        let why = error.map(|error| error.to_string()).or(failure).unwrap_or_else(|| "the connection ended".to_owned());
        Lost { was_up: true, why }
    }

    async fn connect(&self, channel: &str) -> Result<MultiplexedConnection, RedisError> {
        let (own, endings, heard) = (self.own, Arc::clone(&self.endings), channel.as_bytes().to_vec());
        let hear = move |push: PushInfo| -> Result<(), redis::aio::SendError> {
            if let Some(message) = message_in(&push, &heard).filter(|message| message.from != own) {
                endings.send_modify(|endings| {
                    endings.credentials += u64::from(message.credentials);
                    endings.places += u64::from(message.places);
                });
            }
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(ANSWER_MAX))
            .set_push_sender(hear);
        let client = Client::open(self.redis.connection_info())?;
        let connecting = async {
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            connection.subscribe(channel).await?;
            Ok(connection)
        };
        let timed_out = |_| std::io::Error::from(std::io::ErrorKind::TimedOut).into();
        tokio::time::timeout(2 * CONNECT_MAX, connecting).await.unwrap_or_else(|elapsed| Err(timed_out(elapsed)))
    }

    async fn watch(&self, mut connection: MultiplexedConnection, channel: &str) -> Option<RedisError> {
        // What was lost before belongs to another connection.
        let mut failed = std::pin::pin!(self.failed.notified());
        failed.as_mut().enable();
        let mut owed = self.owed.subscribe();
        // What ended before this moment was not heard.
        self.endings.send_modify(|endings| {
            endings.credentials += 1;
            endings.places += 1;
        });
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        tracing::info!(redis = %self.redis, "the hubs on this database meet in Redis");
        loop {
            let now = *owed.borrow_and_update();
            if let Err(error) = self.tell(&mut connection, channel, now).await {
                return Some(error);
            }
            tokio::select! {
                () = &mut failed => return None,
                changed = owed.changed() => if changed.is_err() { return None },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Tells the other hubs what has ended that they were not told. Where nothing
    /// has, Redis is asked whether it is there.
    async fn tell(
        &self,
        connection: &mut MultiplexedConnection,
        channel: &str,
        now: Endings,
    ) -> Result<(), RedisError> {
        let told = *self.told.borrow();
        if told == now {
            return redis::cmd("PING").query_async(connection).await;
        }
        let (credentials, places) = (told.credentials != now.credentials, told.places != now.places);
        let message = Message { from: self.own, credentials, places };
        let mut commands = redis::pipe();
        if credentials {
            commands.cmd("INCR").arg(self.key_of_ended()).ignore();
        }
        commands.cmd("PUBLISH").arg(channel).arg(message.to_bytes()).ignore();
        let () = commands.atomic().query_async(connection).await?;
        self.told.send_replace(now);
        Ok(())
    }

    pub async fn change<R>(
        &self,
        names: &[Name],
        mut change: impl FnMut(&[Option<String>]) -> (Vec<Option<Lasting>>, R),
    ) -> Result<R, Apart> {
        let keys = self.keys(names)?;
        let _turn = self.changing.lock().await;
        for _ in 0..TRIES_MAX {
            let before: Vec<Option<String>> = self.ask(redis::cmd("MGET").arg(&keys)).await?;
            let (after, result) = change(&before);
            debug_assert_eq!(after.len(), keys.len(), "a value for each name");
            let mut swap = scripts::SWAP.prepare_invoke();
            swap.key(&keys).arg(before.iter().map(Option::as_deref).map(Option::unwrap_or_default).collect::<Vec<_>>());
            swap.arg(after.iter().map(|value| value.as_ref().map_or("", |value| &value.text)).collect::<Vec<_>>());
            swap.arg(
                after.iter().map(|value| value.as_ref().map_or(0, |value| millis(value.life))).collect::<Vec<_>>(),
            );
            if self.run::<bool>(&swap).await? {
                return Ok(result);
            }
        }
        Err(Apart)
    }

    pub async fn take(&self, takes: &[Take]) -> Result<Result<(), Duration>, Apart> {
        let mut script = scripts::TAKE.prepare_invoke();
        for take in takes {
            script.key(self.key(&take.name)?).arg(micros(take.each)).arg(micros(take.ahead));
        }
        let wait: u64 = self.run(&script).await?;
        Ok(if wait == 0 { Ok(()) } else { Err(Duration::from_micros(wait)) })
    }

    pub async fn give_back(&self, take: &Take) -> Result<(), Apart> {
        let mut script = scripts::GIVE_BACK.prepare_invoke();
        script.key(self.key(&take.name)?).arg(micros(take.each));
        self.run(&script).await
    }

    pub async fn recall(&self, name: &Name) -> Result<Recalled, Apart> {
        self.require_settled()?;
        let mut get = redis::cmd("MGET");
        get.arg(self.key_of_ended()).arg(self.key(name)?);
        let (ended, value): (Option<u64>, Option<Vec<u8>>) = self.ask(&get).await?;
        // Between the question and the answer something may have ended here.
        self.require_settled()?;
        Ok(Recalled { ended: ended.unwrap_or_default(), value })
    }

    pub async fn remember(&self, name: &Name, value: &[u8], life: Duration) -> Result<(), Apart> {
        let mut set = redis::cmd("SET");
        set.arg(self.key(name)?).arg(value).arg("PX").arg(millis(life));
        self.ask(&set).await
    }

    /// What the other hubs have yet to be told may be what is remembered.
    fn require_settled(&self) -> Result<(), Apart> {
        let is_settled = self.owed.borrow().credentials == self.told.borrow().credentials;
        if is_settled { Ok(()) } else { Err(Apart) }
    }

    async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Apart> {
        let mut connection = self.connection()?;
        command.query_async(&mut connection).await.map_err(|error| self.give_up(&error))
    }

    async fn run<T: FromRedisValue>(&self, script: &redis::ScriptInvocation<'_>) -> Result<T, Apart> {
        let mut connection = self.connection()?;
        script.invoke_async(&mut connection).await.map_err(|error| self.give_up(&error))
    }

    fn connection(&self) -> Result<MultiplexedConnection, Apart> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Apart)
    }

    /// Whoever comes next does not wait for it, too.
    fn give_up(&self, error: &RedisError) -> Apart {
        self.drop_connection();
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        self.failed.notify_waiters();
        Apart
    }

    fn drop_connection(&self) {
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn keys(&self, names: &[Name]) -> Result<Vec<String>, Apart> {
        names.iter().map(|name| self.key(name)).collect()
    }

    fn key(&self, name: &Name) -> Result<String, Apart> {
        let fleet = self.fleet.get().ok_or(Apart)?;
        let mut digest = hmac::Context::with_key(&fleet.names);
        digest.update(name.kind.as_bytes());
        digest.update(&[0]);
        digest.update(&name.of);
        let digest = digest.sign();
        Ok(format!("{}{}:{}", fleet.prefix, name.kind, HEXLOWER.encode(&digest.as_ref()[..NAME_BYTES])))
    }

    fn key_of_ended(&self) -> String {
        format!("{}ended", self.fleet.get().map_or("", |fleet| &fleet.prefix))
    }
}

fn message_in(push: &PushInfo, channel: &[u8]) -> Option<Message> {
    if push.kind != PushKind::Message {
        return None;
    }
    match push.data.as_slice() {
        [Value::BulkString(on), Value::BulkString(message)] if on == channel => Message::from_bytes(message),
        _ => None,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// At least one: Redis takes no life of nothing.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
