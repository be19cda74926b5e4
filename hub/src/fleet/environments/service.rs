//! Which environments there are, and how they are now.

use std::collections::HashMap;
use std::net::IpAddr;

use url::{Host, Url};
use windflow_protocol::ids::EnvironmentId;

use super::filter::EnvironmentFilter;
use super::labels::Labels;
use super::model::{
    EngineTarget, Environment, EnvironmentKind, EnvironmentName, EnvironmentPatch, Glance, GroupChange,
    NewTcpEnvironment, TcpTls,
};
use super::overview::Overview;
use super::store::{self, EnvironmentRow, NewEnvironment, Rows, StoreError};
use super::told::Told;
use crate::db::DbError;
use crate::fleet::groups::GroupId;
use crate::fleet::{Fleet, groups};
use crate::http::{List, Page, Visible};
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::tunnel::News;

/// The environment that is the hub's own host.
const LOCAL_NAME: &str = "local";

/// Why an environment was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// Its name belongs to another.
    #[error("an environment of this name exists already: choose another name")]
    NameTaken,
    /// Its address is not one.
    #[error("the address must look like tcp://host:2376")]
    Address,
    /// TLS needs all three parts.
    #[error("TLS needs all of the authority, the certificate and the key")]
    PartialTls,
    /// The certificates or the key cannot be read.
    #[error("{0}")]
    Tls(String),
    /// It would go over a network in the clear.
    #[error(
        "tcp:// without TLS gives whoever sees the network full control of the host: \
         add the TLS certificates, or say that it is meant to be insecure"
    )]
    Insecure,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Why an environment was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such environment.
    #[error("there is no such environment")]
    Unknown,
    /// There is no such group.
    #[error("there is no such group: make it first")]
    UnknownGroup,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Fleet {
    /// The environments that match, with their present state, in the order
    /// that the filter asks for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_environments(&self, filter: &EnvironmentFilter) -> Result<Vec<Environment>, DbError> {
        let rows = self.environment_rows().await?;
        let found = self.glances(&rows, filter, &Visible::All);
        Ok(filter.sort.unwrap_or_default().arrange(found).iter().map(|glance| self.present(glance)).collect())
    }

    /// A page of those of them that are to be shown.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn page_of_environments(
        &self,
        page: Page,
        filter: &EnvironmentFilter,
        visible: &Visible,
    ) -> Result<List<Environment>, DbError> {
        let rows = self.environment_rows().await?;
        let found = filter.sort.unwrap_or_default().arrange(self.glances(&rows, filter, visible));
        Ok(page.of(found).map(|glance| self.present(&glance)))
    }

    /// The environments that match and are to be shown, in numbers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overview(&self, filter: &EnvironmentFilter, visible: &Visible) -> Result<Overview, DbError> {
        let rows = self.environment_rows().await?;
        Ok(Overview::of(&self.glances(&rows, filter, visible)))
    }

    /// The environments that match and are to be shown, in any order.
    fn glances<'a>(
        &self,
        rows: &'a [EnvironmentRow],
        filter: &EnvironmentFilter,
        visible: &Visible,
    ) -> Vec<Glance<'a>> {
        let shown = rows.iter().filter(|row| visible.has(Some(row.id())) && filter.wants_row(row));
        shown.map(|row| self.glance(row)).filter(|glance| filter.wants(glance)).collect()
    }

    fn glance<'a>(&self, row: &'a EnvironmentRow) -> Glance<'a> {
        Glance::at(row, self.base.sessions.of(row.id()).ok(), self.told.states_of(row.id()))
    }

    fn present(&self, glance: &Glance<'_>) -> Environment {
        Environment::of(glance, self.told.last_event_of(glance.row.id()), self.base.clock.now())
    }

    /// What the engines told last; whoever follows them tells it here.
    pub const fn told(&self) -> &Told {
        &self.told
    }

    /// What every environment is called.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn environment_names(&self) -> Result<HashMap<EnvironmentId, String>, DbError> {
        let rows = self.environment_rows().await?;
        Ok(rows.iter().map(|row| (row.id(), row.name.clone())).collect())
    }

    /// The rows of all environments, by name.
    pub(super) async fn environment_rows(&self) -> Result<Rows, DbError> {
        self.known.rows(&self.base.db, self.base.clock.now()).await
    }

    /// One environment with its present state.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_environment(&self, id: EnvironmentId) -> Result<Option<Environment>, DbError> {
        let row = store::find(&mut self.base.db.read().await?, id).await?;
        Ok(row.map(|row| self.present(&self.glance(&row))))
    }

    /// Adds an engine that the hub dials.
    ///
    /// # Errors
    /// [`AddError`].
    pub async fn add_environment(&self, new: NewTcpEnvironment, by: &Actor) -> Result<EnvironmentId, AddError> {
        let tls = tls_of(&new)?;
        let insecure = tls.is_none() && !is_loopback(&new.address)?;
        if insecure && !new.insecure {
            return Err(AddError::Insecure);
        }
        let target = EngineTarget::Tcp { address: new.address, tls };
        self.insert_environment(EnvironmentKind::Tcp, new.name, target, insecure, by).await
    }

    /// The environment of the hub's own host, added when it is not there yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ensure_local(&self) -> Result<EnvironmentId, DbError> {
        let rows = store::list_attached(&mut self.base.db.read().await?).await?;
        if let Some(local) = rows.iter().find(|row| row.kind == EnvironmentKind::Local.as_str()) {
            return Ok(local.id());
        }
        let wanted = EnvironmentName::from_hostname(LOCAL_NAME);
        for number in 1.. {
            let name = if number == 1 { wanted.clone() } else { wanted.numbered(number) };
            let local = EnvironmentKind::Local;
            match self.insert_environment(local, name, EngineTarget::Local, false, &Actor::System).await {
                Ok(id) => return Ok(id),
                Err(AddError::Db(error)) => return Err(error),
                Err(_) => {}
            }
        }
        unreachable!("a name that is not taken is found")
    }

    async fn insert_environment(
        &self,
        kind: EnvironmentKind,
        name: EnvironmentName,
        target: EngineTarget,
        insecure: bool,
        by: &Actor,
    ) -> Result<EnvironmentId, AddError> {
        let now = self.base.clock.now();
        let id = EnvironmentId::generate();
        let mut tx = self.base.db.write().await?;
        if store::name_taken(&mut tx, &name).await? {
            return Err(AddError::NameTaken);
        }
        let entry = Entry::new(by, Action::EnvironmentAdd, &id.to_string()).called(Some(name.as_str()));
        let new = NewEnvironment { id, name, kind, target, insecure, labels: Labels::default(), created_at: now };
        store::insert(&mut tx, &self.base.vault, &new).await?;
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await?;
        self.tell(News::Environment(id));
        Ok(id)
    }

    /// Gives an environment other labels, puts it into another group, or has
    /// its terminals recorded or not.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn change_environment(
        &self,
        id: EnvironmentId,
        patch: EnvironmentPatch,
        by: &Actor,
    ) -> Result<(), ChangeError> {
        let mut tx = self.base.db.write().await?;
        let row = store::find(&mut tx, id).await?.ok_or(ChangeError::Unknown)?;
        let labels = patch.labels.filter(|labels| *labels != Labels::stored(row.labels.0.clone()));
        if let Some(labels) = &labels {
            store::set_labels(&mut tx, id, labels).await?;
            let entry =
                Entry::new(by, Action::EnvironmentLabel, &id.to_string()).environment(id).called(Some(&row.name));
            let entry = entry.fact("labels", serde_json::json!(labels));
            audit::record(&mut tx, entry, self.base.clock.now()).await?;
        }
        let before = row.group_id.map(GroupId);
        let group = match patch.group {
            GroupChange::Keep => before,
            GroupChange::Leave => None,
            GroupChange::Join(group) => Some(group),
        };
        if group != before {
            let name = match group {
                Some(group) => Some(groups::find_name(&mut tx, group).await?.ok_or(ChangeError::UnknownGroup)?),
                None => None,
            };
            store::set_group(&mut tx, id, group).await?;
            let entry =
                Entry::new(by, Action::EnvironmentGroup, &id.to_string()).environment(id).called(Some(&row.name));
            let entry = entry.fact("group", serde_json::json!(name));
            audit::record(&mut tx, entry, self.base.clock.now()).await?;
        }
        let recording = patch.record_terminals.filter(|is_on| *is_on != row.record_terminals);
        if let Some(is_on) = recording {
            store::set_recording(&mut tx, id, is_on).await?;
            let entry =
                Entry::new(by, Action::EnvironmentRecord, &id.to_string()).environment(id).called(Some(&row.name));
            let entry = entry.fact("record_terminals", serde_json::json!(is_on));
            audit::record(&mut tx, entry, self.base.clock.now()).await?;
        }
        tx.commit().await?;
        if labels.is_some() || group != before || recording.is_some() {
            self.tell(News::Environment(id));
        }
        Ok(())
    }

    /// Removes an environment, its agent's identity and its session. Nothing
    /// on its host is touched. Whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_environment(&self, id: EnvironmentId, by: &Actor) -> Result<bool, DbError> {
        let mut tx = self.base.db.write().await?;
        let name = store::find(&mut tx, id).await?.map(|row| row.name);
        let removed = store::delete(&mut tx, id).await?;
        if removed {
            let entry = Entry::new(by, Action::EnvironmentRemove, &id.to_string()).called(name.as_deref());
            audit::record(&mut tx, entry, self.base.clock.now()).await?;
        }
        tx.commit().await?;
        self.base.sessions.close(id, "the environment was removed");
        self.tell(News::Environment(id));
        Ok(removed)
    }

    /// The environments that the hub reaches by itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_attached(&self) -> Result<Vec<EnvironmentId>, DbError> {
        let rows = store::list_attached(&mut self.base.db.read().await?).await?;
        Ok(rows.iter().map(EnvironmentRow::id).collect())
    }

    /// Where the engine of an attached environment is, its key opened.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn engine_target(&self, id: EnvironmentId) -> Result<EngineTarget, StoreError> {
        let mut tx = self.base.db.read().await?;
        store::get_target(&mut tx, &self.base.vault, id).await
    }
}

fn tls_of(new: &NewTcpEnvironment) -> Result<Option<TcpTls>, AddError> {
    match (&new.ca, &new.certificate, &new.key) {
        (None, None, None) => Ok(None),
        (Some(authority), Some(certificate), Some(key)) => {
            let tls = TcpTls { authority: authority.clone(), certificate: certificate.clone(), key: key.clone() };
            crate::fleet::attached::engine_tls(&tls).map_err(|error| AddError::Tls(error.to_string()))?;
            Ok(Some(tls))
        }
        _ => Err(AddError::PartialTls),
    }
}

fn is_loopback(address: &str) -> Result<bool, AddError> {
    let url = Url::parse(address).map_err(|_| AddError::Address)?;
    let plain = url.scheme() == "tcp" && url.port().is_some() && matches!(url.path(), "" | "/");
    if !plain || url.username() != "" || url.query().is_some() {
        return Err(AddError::Address);
    }
    match url.host() {
        Some(Host::Domain(name)) => Ok(name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())),
        Some(Host::Ipv4(ip)) => Ok(ip.is_loopback()),
        Some(Host::Ipv6(ip)) => Ok(ip.is_loopback()),
        None => Err(AddError::Address),
    }
}
