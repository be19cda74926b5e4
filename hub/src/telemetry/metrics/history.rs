//! Answers what was measured over a time, from all tiers and from what is not
//! written yet; and who may look at what is measured now.

use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::metrics::Subject;
use windflow_protocol::message::report::ObjectId;

use super::latest::Look;
use super::model::{CONTAINER_NAMES, DISK_NAMES, HOST_NAMES, History, Named, Range, Series, Window, scaled};
use super::points::{Points, Span};
use super::store;
use super::subject::{CONTAINER, DISK, HOST, StoredSubject, TIERS, moment, seconds};
use crate::app::App;
use crate::db::{DbError, Tx};
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};

/// Most file systems in one answer: an agent that names others each day fills
/// no memory.
const DISKS_MAX: usize = 32;

impl App {
    /// What was measured of an environment's host.
    ///
    /// # Errors
    /// 404 where there is no such environment, 400 for a range that is none.
    pub(super) async fn host_history(&self, environment: EnvironmentId, range: &Range) -> ApiResult<History> {
        let window = range.window(self.clock.now())?;
        self.known(environment).await?;
        let mut tx = self.db.read().await?;
        let host = StoredSubject { kind: HOST, name: String::new() };
        let mut names = store::list_names(&mut tx, environment, DISK).await?;
        names.truncate(DISKS_MAX);
        let mut found = vec![(None, &HOST_NAMES[..], self.points(&mut tx, environment, &host, window).await?)];
        for name in names {
            let disk = StoredSubject { kind: DISK, name: name.clone() };
            found.push((Some(name), &DISK_NAMES[..], self.points(&mut tx, environment, &disk, window).await?));
        }
        Ok(history(window, &found))
    }

    /// What was measured of a container, also of one that is gone where its id
    /// is given in full.
    ///
    /// # Errors
    /// 404 where there is no such environment or container, 400 for a range
    /// that is none.
    pub(super) async fn container_history(
        &self,
        environment: EnvironmentId,
        container: &ContainerId,
        range: &Range,
    ) -> ApiResult<History> {
        let window = range.window(self.clock.now())?;
        self.known(environment).await?;
        let id = self.id_of(environment, container).ok_or_else(|| ApiError::not_found("container"))?;
        let subject = StoredSubject { kind: CONTAINER, name: id.to_string() };
        let points = self.points(&mut self.db.read().await?, environment, &subject, window).await?;
        Ok(history(window, &[(None, &CONTAINER_NAMES[..], points)]))
    }

    /// Looks at what is measured of an environment's host, or of a container
    /// that its engine has: it is measured more often until that ends.
    ///
    /// # Errors
    /// 404 where there is no such environment or container.
    pub(in crate::telemetry) async fn look_at(
        &self,
        environment: EnvironmentId,
        container: Option<&ContainerId>,
    ) -> ApiResult<Look> {
        self.known(environment).await?;
        let subject = match container {
            None => Subject::Host,
            Some(container) => {
                let id = self.id_of(environment, container).filter(|id| self.is_there(environment, id));
                Subject::Container(id.ok_or_else(|| ApiError::not_found("container"))?)
            }
        };
        Ok(self.measurements.place(environment).look(subject))
    }

    async fn known(&self, environment: EnvironmentId) -> ApiResult<()> {
        match self.fleet.find_environment(environment).await? {
            Some(_) => Ok(()),
            None => Err(ApiError::not_found("environment")),
        }
    }

    /// The container of this name or id.
    fn id_of(&self, environment: EnvironmentId, container: &ContainerId) -> Option<ObjectId> {
        let heard = self.inventories.of(environment);
        let named = heard.and_then(|heard| {
            heard.things.containers.values().find(|known| known.name == container.as_str()).map(|known| known.id)
        });
        named.or_else(|| ObjectId::parse(container.as_str()))
    }

    fn is_there(&self, environment: EnvironmentId, id: &ObjectId) -> bool {
        self.inventories.of(environment).is_some_and(|heard| heard.things.containers.contains_key(id))
    }

    async fn points(
        &self,
        tx: &mut Tx,
        environment: EnvironmentId,
        subject: &StoredSubject,
        window: Window,
    ) -> Result<Points, DbError> {
        let longest = TIERS.iter().map(|tier| tier.chunk).max().unwrap_or_default();
        let times = (moment(window.from - longest), moment(window.to));
        let mut all = Points::default();
        for row in store::list_of_subject(tx, environment, subject, times).await? {
            match Points::decode(&row.points, seconds(row.starts_at)) {
                Ok(points) => all.gather(points),
                Err(error) => tracing::warn!(environment.id = %environment, %error, "passed over stored measurements"),
            }
        }
        for timed in self.measurements.place(environment).pending() {
            for reading in timed.readings.iter().filter(|reading| StoredSubject::from(&reading.subject) == *subject) {
                all.insert(timed.at, reading.values.iter().map(|value| value.map(Span::once)).collect());
            }
        }
        Ok(all.within(window.from, window.to).spread(window.step))
    }
}

type Found<'a> = (Option<String>, &'a [Named], Points);

fn history(window: Window, found: &[Found<'_>]) -> History {
    let moments = || found.iter().flat_map(|(_, _, points)| points.iter().map(|(at, _)| at));
    let (Some(first), Some(last)) = (moments().min(), moments().max()) else {
        return History { step_seconds: window.step, times: Vec::new(), series: Vec::new() };
    };
    let times: Vec<i64> = (0..).map(|turn| first + turn * window.step).take_while(|at| *at <= last).collect();
    let series = found.iter().flat_map(|(disk, names, points)| {
        let columns =
            names.iter().enumerate().map(|(place, name)| series(*name, disk.clone(), points, (place, &times)));
        columns.flatten().collect::<Vec<Series>>()
    });
    History { step_seconds: window.step, series: series.collect(), times }
}

/// None where the value was never known.
fn series(
    (name, factor): Named,
    disk: Option<String>,
    points: &Points,
    (place, times): (usize, &[i64]),
) -> Option<Series> {
    let mut known = points.iter().peekable();
    let spans: Vec<Option<Span>> = { times.iter() }
        .map(|at| {
            let (_, values) = known.next_if(|(moment, _)| moment == at)?;
            values.get(place).copied().flatten()
        })
        .collect();
    if spans.iter().all(Option::is_none) {
        return None;
    }
    let column =
        |of: fn(&Span) -> u64| spans.iter().map(|span| span.as_ref().map(|span| scaled(of(span), factor))).collect();
    let varies = spans.iter().flatten().any(|span| span.least != span.mean || span.most != span.mean);
    Some(Series {
        name,
        disk,
        mean: column(|span| span.mean),
        least: varies.then(|| column(|span| span.least)),
        most: varies.then(|| column(|span| span.most)),
    })
}
