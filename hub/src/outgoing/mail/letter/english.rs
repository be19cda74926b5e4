//! The letters in English.

use super::{Letter, Words, moment};

pub(super) fn words(letter: &Letter) -> Words {
    match letter {
        Letter::Invitation { invited_by, link, until } => Words {
            subject: "You are invited to Windflow",
            before: vec![
                "Hello,".into(),
                format!("{invited_by} invites you to Windflow. Choose a user name and a password here:"),
            ],
            link: Some(("Accept the invitation", link.clone())),
            after: vec![
                format!("The link works once, until {}.", moment(*until)),
                "If you do not know what this is about, there is nothing to do.".into(),
            ],
        },
        Letter::Registration { link, until } => Words {
            subject: "Complete your registration with Windflow",
            before: vec![
                "Hello,".into(),
                "Somebody, probably you, asked for an account with this address. Choose a user name and a password here:"
                    .into(),
            ],
            link: Some(("Make the account", link.clone())),
            after: vec![
                format!("The link works once, until {}.", moment(*until)),
                "If it was not you, there is nothing to do.".into(),
            ],
        },
        Letter::AlreadyRegistered { name, address } => Words {
            subject: "You have an account with Windflow",
            before: vec![
                format!("Hello {name},"),
                "Somebody, probably you, asked for an account with this address. There is one already: sign in, or ask for a new password there."
                    .into(),
            ],
            link: Some(("Sign in", address.clone())),
            after: vec!["If it was not you, there is nothing to do.".into()],
        },
        Letter::PasswordReset { name, link, until } => Words {
            subject: "A new password for Windflow",
            before: vec![
                format!("Hello {name},"),
                "Somebody, probably you, asked for a new password. Choose it here:".into(),
            ],
            link: Some(("Choose a new password", link.clone())),
            after: vec![
                format!("The link works once, until {}. A second factor is asked for as before.", moment(*until)),
                "If it was not you, there is nothing to do: your password stays as it is.".into(),
            ],
        },
        Letter::PasswordChanged { name } => Words {
            subject: "Your password for Windflow was changed",
            before: vec![
                format!("Hello {name},"),
                "Your password was replaced through a link in a mail to this address. All your sessions ended; API tokens stayed."
                    .into(),
            ],
            link: None,
            after: vec!["If it was not you, tell an administrator at once.".into()],
        },
        Letter::VerifyAddress { name, link, until } => Words {
            subject: "Confirm your address for Windflow",
            before: vec![
                format!("Hello {name},"),
                "This address is to be yours with Windflow. Confirm it here:".into(),
            ],
            link: Some(("Confirm the address", link.clone())),
            after: vec![
                format!("The link works once, until {}.", moment(*until)),
                "If you do not know what this is about, there is nothing to do.".into(),
            ],
        },
        Letter::AddressChanges { name, to } => Words {
            subject: "Your address for Windflow changes",
            before: vec![
                format!("Hello {name},"),
                format!("Your address with Windflow is to be {to} from now on; it holds once it is confirmed there."),
            ],
            link: None,
            after: vec!["If it was not you, change your password and tell an administrator.".into()],
        },
        Letter::Test { address } => Words {
            subject: "A test of the mail server",
            before: vec!["Hello,".into(), format!("the hub at {address} can send mail.")],
            link: None,
            after: vec![],
        },
    }
}
