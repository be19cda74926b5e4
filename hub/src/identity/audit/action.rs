//! What there is to be recorded, and how it can end.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// What was done. The name's first part is the kind of its target.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $variant,)*
        }

        impl Action {
            /// The name in the database and the API.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

actions! {
    /// A code was made with which somebody may make the first user.
    SetupCode => "user.setup_code",
    /// The first user was made with the setup code.
    SetupComplete => "user.setup",
    /// A user was made.
    UserCreate => "user.create",
    /// A user may no longer sign in.
    UserDisable => "user.disable",
    /// A user may sign in again.
    UserEnable => "user.enable",
    /// A user got another role.
    UserRole => "user.role",
    /// A role that can be granted was made.
    RoleCreate => "role.create",
    /// A role got another name, or allows something else.
    RoleChange => "role.change",
    /// A role was deleted.
    RoleDelete => "role.delete",
    /// A team of users was made.
    TeamCreate => "team.create",
    /// A team got another name.
    TeamRename => "team.rename",
    /// A team was deleted, with all that was granted to it.
    TeamDelete => "team.delete",
    /// A user was put into a team.
    TeamJoin => "team.join",
    /// A user was taken out of a team.
    TeamLeave => "team.leave",
    /// Somebody was granted a role somewhere.
    GrantCreate => "grant.create",
    /// What somebody was granted was taken back.
    GrantDelete => "grant.delete",
    /// A password was replaced.
    PasswordReset => "user.reset_password",
    /// Somebody asked for a link to choose a new password.
    PasswordResetRequest => "user.password_reset_request",
    /// A password was replaced through a link that was mailed.
    PasswordResetByMail => "user.password_reset_by_mail",
    /// A user asked for another e-mail address of theirs.
    EmailRequest => "user.email_request",
    /// A user got another e-mail address, or verified it.
    UserEmail => "user.email",
    /// Somebody was invited.
    InvitationCreate => "invitation.create",
    /// An invitation was ended before anybody accepted it.
    InvitationRevoke => "invitation.revoke",
    /// An invitation made a user.
    InvitationAccept => "invitation.accept",
    /// Somebody asked to be registered.
    InvitationRegister => "invitation.register",
    /// The mail server was set or taken away.
    MailSettings => "hub.mail_settings",
    /// The mail server was tried.
    MailTest => "hub.mail_test",
    /// A user's second factor was set up.
    SecondFactorOn => "user.second_factor_on",
    /// A user turned their second factor off.
    SecondFactorOff => "user.second_factor_off",
    /// A user's second factor was taken away by somebody else.
    SecondFactorReset => "user.second_factor_reset",
    /// A user got new recovery codes; those from before ended.
    RecoveryCodesRenew => "user.recovery_codes",
    /// A recovery code was used, which it can be once.
    RecoveryCodeUse => "user.recovery_code_used",
    /// A user added a passkey, or what was to become one was refused.
    PasskeyAdd => "user.passkey_add",
    /// A user gave a passkey another name.
    PasskeyRename => "user.passkey_rename",
    /// A user removed a passkey.
    PasskeyRemove => "user.passkey_remove",
    /// All passkeys of a user were taken away by somebody else.
    PasskeysReset => "user.passkeys_reset",
    /// A passkey said a number of uses that was over: there may be two of it.
    PasskeyCloned => "user.passkey_cloned",
    /// Of whom a second factor is asked was changed.
    SignInSettings => "hub.sign_in_settings",
    /// An identity provider was added, by which people may sign in.
    ProviderCreate => "identity_provider.create",
    /// An identity provider was changed.
    ProviderChange => "identity_provider.change",
    /// An identity provider was removed, with what it granted.
    ProviderDelete => "identity_provider.delete",
    /// An identity provider said that somebody's session ended there.
    ProviderLogout => "identity_provider.logout",
    /// A user linked who they are with an identity provider.
    IdentityLink => "user.link_identity",
    /// A user signs in by an identity provider no more.
    IdentityUnlink => "user.unlink_identity",
    /// Someone signed in, or was refused.
    SignIn => "user.sign_in",
    /// Someone signed out.
    SignOut => "user.sign_out",
    /// Someone proved again in their session that it is they, or was refused.
    SessionConfirm => "session.confirm",
    /// A cookie session was ended by someone.
    SessionRevoke => "session.revoke",
    /// What a program signed in with was ended by someone.
    TokenFamilyRevoke => "token_family.revoke",
    /// A refresh token came a second time, and its family ended.
    TokenFamilyReuse => "token_family.reuse",
    /// An API token was made.
    ApiTokenCreate => "api_token.create",
    /// An API token was revoked.
    ApiTokenRevoke => "api_token.revoke",
    /// An enrollment token was made.
    TokenCreate => "enrollment_token.create",
    /// An enrollment token was revoked.
    TokenRevoke => "enrollment_token.revoke",
    /// A host was enrolled, or refused.
    Enroll => "enrollment_token.use",
    /// A host asked again for an enrollment whose answer was lost.
    EnrollRetry => "enrollment_token.use_again",
    /// A waiting or quarantined agent was let in.
    AgentApprove => "agent.approve",
    /// An agent got another name.
    AgentRename => "agent.rename",
    /// An agent lost its identity.
    AgentRevoke => "agent.revoke",
    /// A second agent came with an identity that is in use.
    AgentDuplicate => "agent.duplicate",
    /// An agent was set aside since its ticket was old.
    AgentQuarantine => "agent.quarantine",
    /// An agent's old ticket was accepted once.
    AgentTicketForgiven => "agent.ticket_forgiven",
    /// An agent's ticket was newer than the hub's: the hub's data is old.
    AgentAhead => "agent.ahead",
    /// An expired certificate was renewed.
    CertificateRecover => "agent.certificate_recover",
    /// An environment was added.
    EnvironmentAdd => "environment.add",
    /// An environment was removed.
    EnvironmentRemove => "environment.remove",
    /// An environment got other labels.
    EnvironmentLabel => "environment.label",
    /// An environment was put into a group, or taken out of one.
    EnvironmentGroup => "environment.group",
    /// An environment's terminals are recorded from now on, or are not.
    EnvironmentRecord => "environment.record_terminals",
    /// What a host's own policy says became known, or is something else now.
    EnvironmentPolicy => "environment.policy",
    /// A group was made.
    GroupCreate => "group.create",
    /// A group got another name.
    GroupRename => "group.rename",
    /// A group was removed; its environments stayed.
    GroupDelete => "group.delete",
    /// A container was started.
    ContainerStart => "container.start",
    /// A container was stopped.
    ContainerStop => "container.stop",
    /// A container was stopped and started.
    ContainerRestart => "container.restart",
    /// A container was ended at once.
    ContainerKill => "container.kill",
    /// A container's processes were made to stand still.
    ContainerPause => "container.pause",
    /// A paused container's processes were let go on.
    ContainerUnpause => "container.unpause",
    /// A container got another name.
    ContainerRename => "container.rename",
    /// A container was removed.
    ContainerRemove => "container.remove",
    /// A container was made.
    ContainerCreate => "container.create",
    /// A container was made anew with something changed in it.
    ContainerRecreate => "container.recreate",
    /// Bounds of a container were changed while it ran.
    ContainerUpdate => "container.update",
    /// A replacement that a hub did not live to finish was ended.
    ContainerRecover => "container.recover",
    /// The secrets in a container's settings were shown.
    ContainerReveal => "container.reveal",
    /// A file or folder of a container was downloaded, or a text shown.
    FileDownload => "container.file_download",
    /// A file of a container was written.
    FileWrite => "container.file_write",
    /// A folder was made in a container.
    FolderCreate => "container.folder_create",
    /// A file or folder of a container got another path.
    FileRename => "container.file_rename",
    /// A file or folder of a container got other permissions.
    FilePermit => "container.file_permit",
    /// A file or folder of a container was deleted.
    FileDelete => "container.file_delete",
    /// A terminal was opened in a container; its end tells how long it was.
    TerminalOpen => "terminal.open",
    /// A recording of a terminal was given to someone.
    RecordingRead => "recording.read",
    /// A recording of a terminal was deleted.
    RecordingDelete => "recording.delete",
    /// A container was made an image.
    ContainerCommit => "container.commit",
    /// A container's files were given to someone.
    ContainerExport => "container.export",
    /// What nothing used on an engine was removed.
    EnvironmentPrune => "environment.prune",
    /// Someone told a job to end.
    JobCancel => "job.cancel",
    /// A job was ended since the hub that ran it was gone.
    JobCutOff => "job.cut_off",
    /// An image was pulled.
    ImagePull => "image.pull",
    /// Someone made a backup of the hub: all that it knows and every key.
    HubBackup => "hub.backup",
    /// The hub was restored from a backup.
    HubRestore => "hub.restore",
    /// Secrets at rest were sealed with a new data key.
    KeysRotate => "hub.keys_rotate",
    /// The hub got another master key.
    MasterKeyChange => "hub.master_key_change",
    /// A Docker client asked an engine for something that may change its host.
    EngineCall => "environment.engine_call",
    /// A host's own policy refused what somebody asked of it.
    HostRefuses => "environment.host_refuses",
    /// Someone was refused what they may not do.
    PermissionDenied => "permission.denied",
    /// The chain of the records began.
    AuditBegin => "audit.begin",
    /// The chain's end was not as the hub left it: somebody else wrote to it.
    AuditHeadChanged => "audit.head_changed",
    /// Records were deleted since their time was over.
    AuditPrune => "audit.prune",
    /// Records were given to someone as a file.
    AuditExport => "audit.export",
    /// Records are sent somewhere else from now on, or nowhere.
    AuditShipping => "audit.shipping",
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Denied,
    /// It is about to be tried; a record of its end follows.
    Begun,
    /// It was tried and did not succeed.
    Failed,
}

impl Outcome {
    /// The name in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Begun => "begun",
            Self::Failed => "failed",
        }
    }
}
