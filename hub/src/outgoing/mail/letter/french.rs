//! The letters in French.

use super::{Letter, Words, moment};

pub(super) fn words(letter: &Letter) -> Words {
    match letter {
        Letter::Invitation { invited_by, link, until } => Words {
            subject: "Vous êtes invité à rejoindre Windflow",
            before: vec![
                "Bonjour,".into(),
                format!("{invited_by} vous invite à rejoindre Windflow. Choisissez un nom d’utilisateur et un mot de passe ici :"),
            ],
            link: Some(("Accepter l’invitation", link.clone())),
            after: vec![
                format!("Le lien fonctionne une seule fois, jusqu’au {}.", moment(*until)),
                "Si vous ne savez pas de quoi il s’agit, il n’y a rien à faire.".into(),
            ],
        },
        Letter::Registration { link, until } => Words {
            subject: "Terminez votre inscription à Windflow",
            before: vec![
                "Bonjour,".into(),
                "Quelqu’un, sans doute vous, a demandé un compte avec cette adresse. Choisissez un nom d’utilisateur et un mot de passe ici :"
                    .into(),
            ],
            link: Some(("Créer le compte", link.clone())),
            after: vec![
                format!("Le lien fonctionne une seule fois, jusqu’au {}.", moment(*until)),
                "Si ce n’était pas vous, il n’y a rien à faire.".into(),
            ],
        },
        Letter::AlreadyRegistered { name, address } => Words {
            subject: "Vous avez déjà un compte Windflow",
            before: vec![
                format!("Bonjour {name},"),
                "Quelqu’un, sans doute vous, a demandé un compte avec cette adresse. Il en existe déjà un : connectez-vous, ou demandez-y un nouveau mot de passe."
                    .into(),
            ],
            link: Some(("Se connecter", address.clone())),
            after: vec!["Si ce n’était pas vous, il n’y a rien à faire.".into()],
        },
        Letter::PasswordReset { name, link, until } => Words {
            subject: "Un nouveau mot de passe pour Windflow",
            before: vec![
                format!("Bonjour {name},"),
                "Quelqu’un, sans doute vous, a demandé un nouveau mot de passe. Choisissez-le ici :".into(),
            ],
            link: Some(("Choisir un nouveau mot de passe", link.clone())),
            after: vec![
                format!(
                    "Le lien fonctionne une seule fois, jusqu’au {}. Le second facteur reste demandé comme avant.",
                    moment(*until)
                ),
                "Si ce n’était pas vous, il n’y a rien à faire : votre mot de passe reste le même.".into(),
            ],
        },
        Letter::PasswordChanged { name } => Words {
            subject: "Votre mot de passe Windflow a été changé",
            before: vec![
                format!("Bonjour {name},"),
                "Votre mot de passe a été remplacé au moyen d’un lien envoyé à cette adresse. Toutes vos sessions sont terminées ; les jetons d’API restent."
                    .into(),
            ],
            link: None,
            after: vec!["Si ce n’était pas vous, prévenez tout de suite un administrateur.".into()],
        },
        Letter::VerifyAddress { name, link, until } => Words {
            subject: "Confirmez votre adresse pour Windflow",
            before: vec![
                format!("Bonjour {name},"),
                "Cette adresse doit devenir la vôtre dans Windflow. Confirmez-la ici :".into(),
            ],
            link: Some(("Confirmer l’adresse", link.clone())),
            after: vec![
                format!("Le lien fonctionne une seule fois, jusqu’au {}.", moment(*until)),
                "Si vous ne savez pas de quoi il s’agit, il n’y a rien à faire.".into(),
            ],
        },
        Letter::AddressChanges { name, to } => Words {
            subject: "Votre adresse pour Windflow change",
            before: vec![
                format!("Bonjour {name},"),
                format!("Votre adresse dans Windflow doit devenir {to} ; le changement compte une fois confirmé là-bas."),
            ],
            link: None,
            after: vec!["Si ce n’était pas vous, changez votre mot de passe et prévenez un administrateur.".into()],
        },
        Letter::Test { address } => Words {
            subject: "Un essai du serveur de courrier",
            before: vec!["Bonjour,".into(), format!("le hub à l’adresse {address} peut envoyer du courrier.")],
            link: None,
            after: vec![],
        },
    }
}
