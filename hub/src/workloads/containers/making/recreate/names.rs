//! The names of containers while one takes another's place. They say all that
//! must be known to finish it or to go back, also after the hub was killed.

/// What stands in the name of a container that was just made.
const NEXT: &str = "_windflow-next-";
/// What stands in the name of the one whose place it takes.
const PREVIOUS: &str = "_windflow-previous-";
/// How much of an id stands in a name.
const ID_PART: usize = 12;
/// Longest name of a container that can be replaced.
pub const NAME_MAX: usize = 128 - PREVIOUS.len() - "r-".len() - ID_PART;

/// The name of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// What it was called.
    pub name: String,
    /// Whether it ran.
    pub ran: bool,
    /// How the id of the one after it begins.
    pub successor: String,
}

impl Previous {
    /// The name itself.
    pub fn text(&self) -> String {
        let Self { name, ran, successor } = self;
        format!("{name}{PREVIOUS}{}-{}", if *ran { 'r' } else { 's' }, part(successor))
    }

    /// Reads a name; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.rsplit_once(PREVIOUS)?;
        let (ran, successor) = rest.split_once('-')?;
        let ran = match ran {
            "r" => true,
            "s" => false,
            _ => return None,
        };
        let is_id = successor.len() == ID_PART && successor.chars().all(|c| c.is_ascii_hexdigit());
        (is_id && !name.is_empty()).then(|| Self { name: name.to_owned(), ran, successor: successor.to_owned() })
    }
}

/// The name of a container that is made to take the place of another, until it
/// does.
pub fn next(name: &str, of: &str) -> String {
    format!("{name}{NEXT}{}", part(of))
}

/// The beginning of the id of the container whose place it is to take, if this
/// is such a name.
pub fn parse_next(text: &str) -> Option<&str> {
    let (name, of) = text.rsplit_once(NEXT)?;
    let is_id = of.len() == ID_PART && of.chars().all(|c| c.is_ascii_hexdigit());
    (is_id && !name.is_empty()).then_some(of)
}

/// Whether a container is called so only until another has its place.
pub fn is_passing(text: &str) -> bool {
    Previous::parse(text).is_some() || parse_next(text).is_some()
}

fn part(id: &str) -> &str {
    id.get(..ID_PART).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_was() {
        let id = "0123456789abcdef".repeat(4);
        let previous = Previous { name: "web_windflow-next".to_owned(), ran: true, successor: part(&id).to_owned() };
        assert_eq!(previous.text(), "web_windflow-next_windflow-previous-r-0123456789ab");
        assert_eq!(Previous::parse(&previous.text()), Some(previous));
        assert_eq!(parse_next(&next("web", &id)), Some("0123456789ab"));
        let longest = Previous { name: "a".repeat(NAME_MAX), ran: false, successor: id };
        assert_eq!(longest.text().len(), 128);
    }

    #[test]
    fn other_names_are_none_of_these() {
        for name in [
            "web",
            "web_windflow-previous-",
            "web_windflow-previous-x-0123456789ab",
            "_windflow-next-0123456789ab",
            "web_windflow-previous-r-0123456789zz",
            "web_windflow-next-0123",
            "_windflow-previous-r-0123456789ab",
        ] {
            assert!(!is_passing(name), "{name}");
        }
    }
}
