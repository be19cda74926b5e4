//! How often anybody may ask the API.

use std::fmt;
use std::str::FromStr;

use clap::Args;

/// A burst that nobody chose is this many seconds' worth.
const BURST_SECONDS: u32 = 4;
/// Most requests of a rate.
const RATE_MAX: u32 = 1_000_000;

/// So many requests a second, and so many at once after a while without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// As many as they like.
    Off,
    /// These.
    Of {
        /// Requests a second; not zero.
        per_second: u32,
        /// Requests at once; not zero.
        burst: u32,
    },
}

/// The text is no rate.
#[derive(Debug, thiserror::Error)]
#[error("write requests a second and, behind a colon, at once, such as 50:200; or off")]
pub struct NoRate;

impl FromStr for RateLimit {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let number = |text: &str| text.parse().ok().filter(|number| (1..=RATE_MAX).contains(number)).ok_or(NoRate);
        match text.split_once(':') {
            Some((per_second, burst)) => Ok(Self::Of { per_second: number(per_second)?, burst: number(burst)? }),
            None => number(text).map(|per_second| Self::Of { per_second, burst: per_second * BURST_SECONDS }),
        }
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Of { per_second, burst } => write!(f, "{per_second}:{burst}"),
        }
    }
}

/// How often anybody may ask the API: requests a second, and at once.
#[derive(Args, Clone, Copy, Debug)]
pub struct RateOptions {
    /// Requests a second to the API with one credential, and at once behind a colon, or off
    #[arg(long, env = "WINDFLOW_API_RATE", default_value = "50:200", value_name = "RATE[:BURST]")]
    pub api_rate: RateLimit,
    /// The same from one address without a credential that is good
    #[arg(long, env = "WINDFLOW_API_RATE_ANONYMOUS", default_value = "10:50", value_name = "RATE[:BURST]")]
    pub api_rate_anonymous: RateLimit,
    /// The same of everybody together
    #[arg(long, env = "WINDFLOW_API_RATE_TOTAL", default_value = "off", value_name = "RATE[:BURST]")]
    pub api_rate_total: RateLimit,
}

impl RateOptions {
    /// As often as they like.
    pub const OFF: Self =
        Self { api_rate: RateLimit::Off, api_rate_anonymous: RateLimit::Off, api_rate_total: RateLimit::Off };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_written_as_it_is_read_and_nothing_else_is_one() {
        for (text, shown) in [("50:200", "50:200"), ("5", "5:20"), ("1:1", "1:1"), ("off", "off")] {
            assert_eq!(text.parse::<RateLimit>().unwrap().to_string(), shown);
        }
        for wrong in ["", "0", "5:0", "0:5", "-1", "1:2:3", "5:", ":5", "Off", "1000001", "4294967295", "99999999999"] {
            assert!(wrong.parse::<RateLimit>().is_err(), "{wrong}");
        }
    }
}
