//! Times on the command line: `90s`, `30m`, `1h`, `7d`.

use std::str::FromStr;

/// A span of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The seconds.
    pub seconds: u64,
}

impl FromStr for Life {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a time is a number and s, m, h or d, such as 1h";
        let unit = match text.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 60 * 60,
            Some('d') => 24 * 60 * 60,
            Some(_) | None => return Err(WRONG),
        };
        let number: u64 = text[..text.len() - 1].parse().map_err(|_| WRONG)?;
        let seconds = number.checked_mul(unit).filter(|seconds| *seconds > 0).ok_or(WRONG)?;
        Ok(Self { seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        let seconds = |text: &str| text.parse::<Life>().map(|life| life.seconds).ok();
        assert_eq!([seconds("90s"), seconds("2h"), seconds("7d")], [Some(90), Some(7200), Some(604_800)]);
        for wrong in
            ["", "h", "1", "0s", "-1h", "1.5h", "1h30m", "1é", "99999999999999999999d", "18446744073709551615d"]
        {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
