//! The table: one line for each figure, with what each way reached, what it
//! should reach, and whether it did. For people: nothing fails by it.

/// A way to an engine, in the order of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The hub's own process.
    Memory,
    /// An agent over a WebSocket.
    WebSocket,
    /// An agent over QUIC.
    Quic,
}

impl Way {
    const ALL: [Self; 3] = [Self::Memory, Self::WebSocket, Self::Quic];

    const fn letter(self) -> &'static str {
        match self {
            Self::Memory => "m",
            Self::WebSocket => "w",
            Self::Quic => "q",
        }
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// 10^9 bytes in a second.
    GigabytesPerSecond,
    /// 10^6 bytes in a second.
    MegabytesPerSecond,
    /// Seconds of processor time for 10^9 bytes.
    CpuPerGigabyte,
    /// Requests in a second.
    PerSecond,
    /// Bits in a second.
    BitsPerSecond,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// 1,024 bytes.
    Kibibytes,
    /// 1,048,576 bytes.
    Mebibytes,
    /// Hundredths of one processor core.
    PercentOfCore,
    /// A plain ratio.
    Ratio,
}

/// What a way should reach.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// At most this many times the reference.
    TimesAtMost(f64),
    /// At least this many times the reference.
    TimesAtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// At most this above the reference.
    AboveAtMost(f64),
}

/// One line.
#[derive(Debug)]
pub struct Row {
    figure: String,
    unit: Unit,
    reference: Option<f64>,
    cells: [Option<Cell>; 3],
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    value: f64,
    limit: Option<Limit>,
}

impl Row {
    /// A line without figures.
    pub fn new(figure: impl Into<String>, unit: Unit) -> Self {
        Self { figure: figure.into(), unit, reference: None, cells: [None; 3] }
    }

    /// What the ways are measured against.
    #[must_use]
    pub const fn against(mut self, reference: f64) -> Self {
        self.reference = Some(reference);
        self
    }

    /// What a way reached, with nothing required of it.
    #[must_use]
    pub const fn reached(mut self, way: Way, value: f64) -> Self {
        self.cells[way as usize] = Some(Cell { value, limit: None });
        self
    }

    /// What a way reached and should have.
    #[must_use]
    pub const fn judged(mut self, way: Way, value: f64, limit: Limit) -> Self {
        self.cells[way as usize] = Some(Cell { value, limit: Some(limit) });
        self
    }

    /// Prints it.
    pub fn print(&self) {
        let [memory, websocket, quic] = self.cells.map(|cell| self.number(cell.map(|cell| cell.value)));
        print_columns([
            &format!("{} [{}]", self.figure, self.unit.name()),
            &self.number(self.reference),
            &memory,
            &websocket,
            &quic,
            &self.ratios(),
            &self.required(),
            &self.verdict(),
        ]);
    }

    fn number(&self, value: Option<f64>) -> String {
        value.map(|value| self.unit.format(value)).unwrap_or_default()
    }

    fn ratios(&self) -> String {
        let Some(reference) = self.reference.filter(|reference| *reference > 0.0) else { return String::new() };
        let ratios = self.cells.iter().flatten().map(|cell| format!("{:.2}", cell.value / reference));
        ratios.collect::<Vec<_>>().join(" ")
    }

    /// The limits by way, or once where all are alike.
    fn required(&self) -> String {
        let limits = self.limits().map(|(way, limit)| (way.letter(), limit.describe(self.unit))).collect::<Vec<_>>();
        match limits.as_slice() {
            [] => String::new(),
            [(_, first), rest @ ..] if rest.iter().all(|(_, other)| other == first) => first.clone(),
            _ => limits.iter().map(|(way, limit)| format!("{way} {limit}")).collect::<Vec<_>>().join(", "),
        }
    }

    fn verdict(&self) -> String {
        let mut limits = self.limits().peekable();
        if limits.peek().is_none() {
            return String::new();
        }
        let missed = Way::ALL.into_iter().filter(|way| self.misses(*way)).map(Way::letter).collect::<Vec<_>>();
        if missed.is_empty() { "ok".to_owned() } else { format!("MISSED {}", missed.join(" ")) }
    }

    fn limits(&self) -> impl Iterator<Item = (Way, Limit)> {
        Way::ALL.into_iter().zip(self.cells).filter_map(|(way, cell)| Some((way, cell?.limit?)))
    }

    fn misses(&self, way: Way) -> bool {
        let Some(Cell { value, limit: Some(limit) }) = self.cells[way as usize] else { return false };
        let reference = self.reference.unwrap_or_default();
        match limit {
            Limit::TimesAtMost(times) => value > times * reference,
            Limit::TimesAtLeast(times) => value < times * reference,
            Limit::AtMost(most) => value > most,
            Limit::AtLeast(least) => value < least,
            Limit::AboveAtMost(more) => value > reference + more,
        }
    }
}

impl Limit {
    fn describe(self, unit: Unit) -> String {
        match self {
            Self::TimesAtMost(times) => format!("<= {times:.2}x"),
            Self::TimesAtLeast(times) => format!(">= {times:.2}x"),
            Self::AtMost(most) => format!("<= {}", unit.format(most)),
            Self::AtLeast(least) => format!(">= {}", unit.format(least)),
            Self::AboveAtMost(more) => format!("<= +{}", unit.format(more)),
        }
    }
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::GigabytesPerSecond => "GB/s",
            Self::MegabytesPerSecond => "MB/s",
            Self::CpuPerGigabyte => "CPU-s/GB",
            Self::PerSecond => "1/s",
            Self::BitsPerSecond => "bit/s",
            Self::Micros => "us",
            Self::Millis => "ms",
            Self::Kibibytes => "KiB",
            Self::Mebibytes => "MiB",
            Self::PercentOfCore => "% of a core",
            Self::Ratio => "ratio",
        }
    }

    fn format(self, value: f64) -> String {
        match self {
            Self::GigabytesPerSecond | Self::CpuPerGigabyte | Self::PercentOfCore | Self::Ratio => {
                format!("{value:.2}")
            }
            Self::MegabytesPerSecond | Self::Millis | Self::Kibibytes | Self::Mebibytes => format!("{value:.1}"),
            Self::PerSecond | Self::BitsPerSecond | Self::Micros => format!("{value:.0}"),
        }
    }
}

/// Prints the names of the columns.
pub fn print_head() {
    print_columns(["figure", "reference", "memory", "websocket", "quic", "ratios", "required", ""]);
}

/// Prints a line in place of a figure.
pub fn print_not_measured(figure: &str, reason: &str) {
    println!("{figure:<58} not measured: {reason}");
}

fn print_columns(columns: [&str; 8]) {
    let [figure, reference, memory, websocket, quic, ratios, required, verdict] = columns;
    let line = format!(
        "{figure:<58} {reference:>9} {memory:>9} {websocket:>9} {quic:>9}  {ratios:<15} {required:<32} {verdict}"
    );
    println!("{}", line.trim_end());
}
