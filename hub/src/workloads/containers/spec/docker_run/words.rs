//! A line split into words, as a POSIX shell would do it.

use super::RunError;

/// One word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Without quotes.
    pub text: String,
    /// Whether a shell would put something else into it.
    pub expands: bool,
}

/// Splits a line. A backslash at the end of a line goes on in the next; so do
/// those of other shells, a backtick and a caret.
///
/// # Errors
/// For a quote without an end, and where another command begins.
pub fn split(line: &str) -> Result<Vec<Word>, RunError> {
    let mut letters = line.chars().peekable();
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' | '`' | '^' if ends_line(&mut letters) => {}
            '\\' => word.get_or_insert_default().text.extend(letters.next()),
            '\'' => single(&mut letters, word.get_or_insert_default())?,
            '"' => double(&mut letters, word.get_or_insert_default())?,
            '#' if word.is_none() => while letters.next_if(|letter| *letter != '\n').is_some() {},
            '\n' if words.is_empty() && word.is_none() => {}
            '\n' => {
                words.extend(word.take());
                if letters.clone().any(|letter| !letter.is_whitespace()) {
                    return Err(RunError::Operator("a new line".to_owned()));
                }
            }
            letter if letter.is_whitespace() => words.extend(word.take()),
            '|' | '&' | ';' | '<' | '>' => return Err(RunError::Operator(letter.to_string())),
            letter => {
                let word = word.get_or_insert_default();
                let is_home = letter == '~' && word.text.is_empty();
                word.expands |= is_home || matches!(letter, '$' | '`');
                word.text.push(letter);
            }
        }
    }
    words.extend(word);
    Ok(words)
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Takes the end of the line, if it is there.
fn ends_line(letters: &mut Letters<'_>) -> bool {
    let mut ahead = letters.clone();
    while ahead.next_if(|letter| matches!(letter, ' ' | '\t' | '\r')).is_some() {}
    let ends = ahead.next_if_eq(&'\n').is_some();
    if ends {
        *letters = ahead;
    }
    ends
}

fn single(letters: &mut Letters<'_>, word: &mut Word) -> Result<(), RunError> {
    loop {
        match letters.next() {
            Some('\'') => return Ok(()),
            Some(letter) => word.text.push(letter),
            None => return Err(RunError::Quote('\'')),
        }
    }
}

fn double(letters: &mut Letters<'_>, word: &mut Word) -> Result<(), RunError> {
    loop {
        match letters.next() {
            Some('"') => return Ok(()),
            Some('\\') => match letters.next() {
                Some('\n') => {}
                Some(letter @ ('"' | '\\' | '$' | '`')) => word.text.push(letter),
                Some(letter) => word.text.extend(['\\', letter]),
                None => return Err(RunError::Quote('"')),
            },
            Some(letter) => {
                word.expands |= matches!(letter, '$' | '`');
                word.text.push(letter);
            }
            None => return Err(RunError::Quote('"')),
        }
    }
}
