//! What a user may do, and where: the one place that decides it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Limits, Permission, Permissions, Role};

/// Where permissions count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// In all environments, and for the hub itself.
    Everywhere {},
    /// In the environments that are in this group.
    Group {
        /// The group.
        group_id: Uuid,
    },
    /// In the environments that have this label.
    Label {
        /// `key` or `key=value`.
        label: String,
    },
    /// In this one.
    Environment {
        /// The environment.
        environment_id: Uuid,
    },
}

impl Scope {
    fn has(&self, place: &Place) -> bool {
        match self {
            Self::Everywhere {} => true,
            Self::Group { group_id } => place.group == Some(*group_id),
            Self::Label { label } => place.is_labelled(label),
            Self::Environment { environment_id } => place.environment == *environment_id,
        }
    }
}

/// Where an environment stands among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The environment.
    pub environment: Uuid,
    /// The group that it is in.
    pub group: Option<Uuid>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Place {
    fn is_labelled(&self, label: &str) -> bool {
        let (key, value) = label.split_once('=').map_or((label, None), |(key, value)| (key, Some(value)));
        self.labels.get(key).is_some_and(|found| value.is_none_or(|value| value == found))
    }
}

/// What is said to somebody who wants to do something in an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They may.
    Allowed,
    /// They may not, though they may do something there.
    Forbidden,
    /// They may do nothing there: for them there is no such environment.
    Hidden,
}

/// All that a user may do, and where. What is not in it is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Powers {
    everywhere: Permissions,
    /// What counts in a part of the environments only.
    placed: Vec<(Scope, Permissions)>,
    /// Where the environments are outside of which nothing counts; `None` for
    /// everywhere.
    within: Option<Vec<Scope>>,
}

impl Powers {
    /// What a role brings.
    pub fn of(role: Role) -> Self {
        Self { everywhere: role.permissions(), placed: Vec::new(), within: None }
    }

    /// Adds what was granted. Whoever may do something in an environment sees
    /// that it is there; what is about the hub counts nowhere but everywhere.
    pub fn grant(&mut self, scope: Scope, permissions: Permissions) {
        let inside = permissions.in_environments();
        let sight: Permissions = (!inside.is_empty()).then_some(Permission::EnvironmentsView).into_iter().collect();
        match scope {
            Scope::Everywhere {} => self.everywhere = self.everywhere.or(permissions).or(sight),
            _ if inside.is_empty() => {}
            scope => self.placed.push((scope, inside.or(sight))),
        }
    }

    /// What a credential with these limits leaves of them. Of powers that are
    /// left in some environments only, none is about the hub.
    #[must_use]
    pub fn limited(&self, limits: &Limits) -> Self {
        let left = limits.permissions();
        let placed = self.placed.iter().map(|(scope, permissions)| (scope.clone(), keep(*permissions, left)));
        let within = limits.places();
        let (everywhere, moved) = match &within {
            None => (keep(self.everywhere, left), None),
            Some(_) => {
                let inside = keep(self.everywhere.in_environments(), left);
                (Permissions::default(), Some((Scope::Everywhere {}, inside)))
            }
        };
        let placed = moved.into_iter().chain(placed).filter(|(_, permissions)| !permissions.is_empty()).collect();
        Self { everywhere, placed, within }
    }

    /// What they may do in all environments, and to the hub.
    pub const fn everywhere(&self) -> Permissions {
        self.everywhere
    }

    /// What they may do in some environment at least.
    pub fn somewhere(&self) -> Permissions {
        self.placed.iter().fold(self.everywhere, |all, (_, permissions)| all.or(*permissions))
    }

    /// What they may do in this environment.
    pub fn at(&self, place: &Place) -> Permissions {
        if self.within.as_ref().is_some_and(|within| !within.iter().any(|scope| scope.has(place))) {
            return Permissions::default();
        }
        let here = self.placed.iter().filter(|(scope, _)| scope.has(place));
        here.fold(self.everywhere, |all, (_, permissions)| all.or(*permissions))
    }

    /// Whether it matters where they do something.
    pub const fn are_placed(&self) -> bool {
        !self.placed.is_empty()
    }

    /// Whether they may do this in this environment; in one that is not there
    /// they may do what they may do everywhere.
    pub fn decide(&self, permission: Permission, place: Option<&Place>) -> Decision {
        let here = place.map_or(self.everywhere, |place| self.at(place));
        if here.has(permission) {
            Decision::Allowed
        } else if here.in_environments().is_empty() {
            Decision::Hidden
        } else {
            Decision::Forbidden
        }
    }
}

/// What is left of permissions, with the sight of the environments that they
/// count in, as [`Powers::grant`] brings it.
fn keep(permissions: Permissions, left: Permissions) -> Permissions {
    let kept = permissions.and(left);
    match kept.in_environments().is_empty() {
        true => kept,
        false => kept.or(permissions.and([Permission::EnvironmentsView].into_iter().collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::TokenScope;
    use super::*;

    const GROUP: Uuid = Uuid::from_u128(1);
    const ENVIRONMENT: Uuid = Uuid::from_u128(2);

    fn place() -> Place {
        let labels = BTreeMap::from([("site".to_owned(), "fra".to_owned())]);
        Place { environment: ENVIRONMENT, group: Some(GROUP), labels }
    }

    fn elsewhere() -> Place {
        Place { environment: Uuid::from_u128(3), group: None, labels: BTreeMap::new() }
    }

    fn granted(scope: Scope, permissions: &[Permission]) -> Powers {
        let mut powers = Powers::of(Role::Restricted);
        powers.grant(scope, permissions.iter().copied().collect());
        powers
    }

    fn label(label: &str) -> Scope {
        Scope::Label { label: label.to_owned() }
    }

    #[test]
    fn what_is_granted_counts_where_it_is_granted_and_nowhere_else() {
        let here = [
            Scope::Group { group_id: GROUP },
            Scope::Environment { environment_id: ENVIRONMENT },
            label("site"),
            label("site=fra"),
        ];
        for scope in here {
            let powers = granted(scope.clone(), &[Permission::ContainersExec]);
            assert_eq!(powers.decide(Permission::ContainersExec, Some(&place())), Decision::Allowed, "{scope:?}");
            assert_eq!(powers.decide(Permission::EnvironmentsView, Some(&place())), Decision::Allowed, "{scope:?}");
            assert_eq!(powers.decide(Permission::FilesRead, Some(&place())), Decision::Forbidden, "{scope:?}");
            for other in [Some(elsewhere()), None] {
                assert_eq!(powers.decide(Permission::ContainersExec, other.as_ref()), Decision::Hidden, "{scope:?}");
            }
            assert!(powers.are_placed() && powers.everywhere().is_empty());
            assert!(powers.somewhere().has(Permission::ContainersExec));
        }
        let not_here = [
            Scope::Group { group_id: ENVIRONMENT },
            Scope::Environment { environment_id: GROUP },
            label("sit"),
            label("site="),
            label("site=fr"),
            label("fra"),
        ];
        for scope in not_here {
            let powers = granted(scope.clone(), &[Permission::ContainersExec]);
            assert_eq!(powers.decide(Permission::ContainersExec, Some(&place())), Decision::Hidden, "{scope:?}");
        }
    }

    #[test]
    fn what_is_about_the_hub_counts_only_where_it_is_granted_everywhere() {
        let all: Vec<Permission> = Permission::ALL.to_vec();
        let placed = granted(Scope::Group { group_id: GROUP }, &all);
        for permission in Permission::ALL.iter().filter(|permission| permission.is_of_hub()) {
            assert!(!placed.somewhere().has(*permission), "{permission}");
            assert_eq!(placed.decide(*permission, Some(&place())), Decision::Forbidden, "{permission}");
        }
        assert_eq!(granted(Scope::Everywhere {}, &all), Powers::of(Role::Administrator));
        let auditor = granted(Scope::Everywhere {}, &[Permission::AuditView]);
        assert_eq!(auditor.everywhere().to_vec(), [Permission::AuditView]);
        assert_eq!(auditor.decide(Permission::ContainersView, Some(&place())), Decision::Hidden);
        assert!(!granted(Scope::Group { group_id: GROUP }, &[Permission::AuditView]).are_placed());
    }

    #[test]
    fn grants_add_up_and_a_role_counts_everywhere() {
        let mut powers = Powers::of(Role::Viewer);
        powers.grant(Scope::Environment { environment_id: ENVIRONMENT }, Role::Operator.permissions());
        assert_eq!(powers.decide(Permission::ContainersOperate, Some(&place())), Decision::Allowed);
        assert_eq!(powers.decide(Permission::ContainersOperate, Some(&elsewhere())), Decision::Forbidden);
        assert_eq!(powers.decide(Permission::ContainersView, Some(&elsewhere())), Decision::Allowed);
        assert_eq!(powers.decide(Permission::ContainersView, None), Decision::Allowed);
    }

    fn limits(scopes: &[TokenScope], environments: &[Uuid], groups: &[Uuid]) -> Limits {
        let (environments, groups) = (environments.to_vec(), groups.to_vec());
        Limits { scopes: scopes.iter().copied().collect(), environments, groups, networks: Vec::new() }
    }

    #[test]
    fn what_is_limited_is_what_both_leave_and_never_more() {
        let mut placed = Powers::of(Role::Viewer);
        placed.grant(Scope::Group { group_id: GROUP }, Role::Administrator.permissions());
        let owners = [Powers::of(Role::Administrator), Powers::of(Role::Viewer), Powers::default(), placed];
        let places = [(vec![], vec![]), (vec![ENVIRONMENT], vec![]), (vec![], vec![GROUP]), (vec![GROUP], vec![])];
        for owner in &owners {
            for scope in TokenScope::ALL {
                for (environments, groups) in &places {
                    let limits = limits(&[scope], environments, groups);
                    let left = owner.limited(&limits);
                    for at in [place(), elsewhere()] {
                        let inside = match environments.is_empty() && groups.is_empty() {
                            true => true,
                            false => {
                                environments.contains(&at.environment) || at.group.is_some_and(|g| groups.contains(&g))
                            }
                        };
                        for permission in left.at(&at).iter() {
                            assert!(inside && owner.at(&at).has(permission), "{permission} {limits:?}");
                            let sight = permission == Permission::EnvironmentsView;
                            assert!(sight || scope.brings(permission), "{permission} {limits:?}");
                        }
                        let both =
                            owner.at(&at).in_environments().iter().filter(|permission| scope.brings(*permission));
                        let missing = both.filter(|permission| !left.at(&at).has(*permission)).count();
                        assert!(!inside || missing == 0, "{limits:?}");
                    }
                    assert!(left.everywhere().iter().all(|permission| owner.everywhere().has(permission)));
                    assert!(!limits.are_placed() || left.everywhere().is_empty());
                }
            }
            assert_eq!(owner.limited(&Limits::default()), *owner);
        }
    }

    #[test]
    fn outside_of_its_environments_there_is_nothing_for_a_limited_credential() {
        let powers = Powers::of(Role::Administrator).limited(&limits(&[TokenScope::Admin], &[ENVIRONMENT], &[]));
        for permission in Permission::ALL {
            let there = powers.decide(*permission, Some(&elsewhere()));
            assert_eq!((there, powers.decide(*permission, None)), (Decision::Hidden, Decision::Hidden), "{permission}");
            let here = if permission.is_of_hub() { Decision::Forbidden } else { Decision::Allowed };
            assert_eq!(powers.decide(*permission, Some(&place())), here, "{permission}");
        }
        let operates = Powers::of(Role::Administrator).limited(&limits(&[TokenScope::Operate], &[], &[GROUP]));
        assert_eq!(operates.decide(Permission::ContainersOperate, Some(&place())), Decision::Allowed);
        assert_eq!(operates.decide(Permission::EnvironmentsView, Some(&place())), Decision::Allowed, "it is there");
        assert_eq!(operates.decide(Permission::ContainersView, Some(&place())), Decision::Forbidden);
        assert_eq!(operates.decide(Permission::ContainersOperate, Some(&elsewhere())), Decision::Hidden);
    }

    #[test]
    fn a_scope_is_written_as_it_is_read_and_nothing_more() {
        for (json, scope) in [
            (serde_json::json!({ "kind": "everywhere" }), Scope::Everywhere {}),
            (serde_json::json!({ "kind": "group", "group_id": GROUP }), Scope::Group { group_id: GROUP }),
            (serde_json::json!({ "kind": "label", "label": "site=fra" }), label("site=fra")),
        ] {
            assert_eq!(serde_json::to_value(&scope).unwrap(), json);
            assert_eq!(serde_json::from_value::<Scope>(json).unwrap(), scope);
        }
        for wrong in [r#"{"kind":"everywhere","group_id":null}"#, r#"{"kind":"group"}"#, r#"{"kind":"all"}"#, "{}"] {
            assert!(serde_json::from_str::<Scope>(wrong).is_err(), "{wrong}");
        }
    }
}
