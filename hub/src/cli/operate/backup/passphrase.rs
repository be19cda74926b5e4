//! Where a passphrase comes from: a file, standard input, or whoever sits at
//! the terminal. Never an argument, which others on the machine can see.

use std::io::{BufRead, IsTerminal, Read};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::ops::backup::PASSPHRASE_MAX;

/// The passphrase of a backup.
#[derive(Args, Debug)]
pub struct PassphraseOptions {
    /// File whose first line is the passphrase [default: standard input]
    #[arg(long, env = "WINDFLOW_BACKUP_PASSPHRASE_FILE", value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// How often someone at a terminal is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Once: a wrong one is noticed by itself.
    Once,
    /// Twice: a wrong one would be noticed too late.
    Twice,
}

impl PassphraseOptions {
    /// Reads the passphrase.
    ///
    /// # Errors
    /// When there is none, or the two that were typed differ.
    pub fn read(&self, asked: Asked) -> anyhow::Result<SecretString> {
        if let Some(path) = &self.passphrase_file {
            let file = std::fs::File::open(path).with_context(|| format!("Failed to open {}", path.display()))?;
            return first_line(file);
        }
        if !std::io::stdin().is_terminal() {
            return first_line(std::io::stdin());
        }
        let passphrase = ask("Passphrase of the backup: ")?;
        if asked == Asked::Twice {
            let again = ask("The same again: ")?;
            if *passphrase != *again {
                bail!("the two differ");
            }
        }
        Ok(passphrase.as_str().into())
    }
}

fn first_line(source: impl Read) -> anyhow::Result<SecretString> {
    let mut line = Zeroizing::new(String::new());
    let mut source = std::io::BufReader::new(source).take(PASSPHRASE_MAX as u64 + 2);
    source.read_line(&mut line).context("Failed to read the passphrase")?;
    let passphrase = line.trim_end_matches(['\r', '\n']);
    if passphrase.is_empty() {
        bail!("there is no passphrase: put it into the file of --passphrase-file, or on standard input");
    }
    Ok(passphrase.into())
}

fn ask(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    eprint!("{prompt}");
    let echo = Echo::off()?;
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line).context("Failed to read the passphrase")?;
    drop(echo);
    eprintln!();
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// While this lives, the terminal does not show what is typed.
struct Echo(Termios);

impl Echo {
    fn off() -> anyhow::Result<Self> {
        let before = tcgetattr(std::io::stdin()).context("Failed to ask the terminal")?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent).context("Failed to silence the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _nothing_to_restore_is_fine = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}
