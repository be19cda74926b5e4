//! Points of one subject as bytes and back: columns of differences, in which
//! what does not change takes no room. What follows from them when they are
//! drawn further apart.

pub mod thinning;

use std::collections::BTreeMap;

use windflow_protocol::limits::METRIC_VALUES_MAX;

/// Most points in one run of bytes: a host whose clock was set may send more
/// than there are moments.
const POINTS_MAX: usize = 4096;
const VERSION: u8 = 1;

/// Points by their moment, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Points(BTreeMap<i64, Vec<Option<Span>>>);

/// What a value was around one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub least: u64,
    pub mean: u64,
    pub most: u64,
}

/// Bytes that are no points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored points cannot be read")]
pub struct Unreadable;

impl Span {
    /// A value that was measured once.
    pub const fn once(value: u64) -> Self {
        Self { least: value, mean: value, most: value }
    }
}

impl Points {
    /// Adds a point; one of the same moment is replaced.
    pub fn insert(&mut self, at: i64, values: Vec<Option<Span>>) {
        self.0.insert(at, values);
        while self.0.len() > POINTS_MAX {
            self.0.pop_first();
        }
    }

    /// Adds all points of `other`.
    pub fn extend(&mut self, other: Self) {
        for (at, values) in other.0 {
            self.insert(at, values);
        }
    }

    /// Adds all points of `other`, however many; for one question only.
    pub fn gather(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// All points, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &[Option<Span>])> {
        self.0.iter().map(|(at, values)| (*at, values.as_slice()))
    }

    /// The points from one moment on and before another.
    #[must_use]
    pub fn within(mut self, from: i64, to: i64) -> Self {
        self.0.retain(|at, _| (from..to).contains(at));
        self
    }

    /// The points so many seconds apart, each for the time from its moment on.
    #[must_use]
    pub fn spread(&self, step: i64) -> Self {
        let mut groups: BTreeMap<i64, Vec<Gathered>> = BTreeMap::new();
        for (at, values) in self.iter() {
            let group = groups.entry(at - at.rem_euclid(step)).or_default();
            if group.len() < values.len() {
                group.resize(values.len(), Gathered::default());
            }
            for (gathered, span) in group.iter_mut().zip(values) {
                gathered.add(*span);
            }
        }
        Self(groups.into_iter().map(|(at, group)| (at, group.iter().map(Gathered::span).collect())).collect())
    }

    /// All points as bytes, their moments counted from `start`.
    pub fn encode(&self, start: i64) -> Vec<u8> {
        let width = self.0.values().map(Vec::len).max().unwrap_or_default();
        let mut bytes = vec![VERSION];
        put(&mut bytes, width as u64);
        put(&mut bytes, self.0.len() as u64);
        let mut before = start;
        for at in self.0.keys() {
            put(&mut bytes, zigzag(at.wrapping_sub(before)));
            before = *at;
        }
        for place in 0..width {
            let column = || self.0.values().map(|values| values.get(place).copied().flatten());
            let mut before = 0_u64;
            put_column(
                &mut bytes,
                column().map(|span| {
                    let count = span.map_or(0, |span| span.mean.saturating_add(1));
                    zigzag(count.wrapping_sub(std::mem::replace(&mut before, count)).cast_signed())
                }),
            );
            put_column(&mut bytes, column().map(|span| span.map_or(0, |span| span.mean.saturating_sub(span.least))));
            put_column(&mut bytes, column().map(|span| span.map_or(0, |span| span.most.saturating_sub(span.mean))));
        }
        bytes
    }

    /// The points in bytes whose moments were counted from `start`.
    ///
    /// # Errors
    /// [`Unreadable`] for anything that [`encode`](Self::encode) did not make.
    pub fn decode(bytes: &[u8], start: i64) -> Result<Self, Unreadable> {
        let mut reader = Reader { bytes, zeros: 0 };
        if reader.byte()? != VERSION {
            return Err(Unreadable);
        }
        let width = reader.size(METRIC_VALUES_MAX)?;
        let length = reader.size(POINTS_MAX)?;
        let mut moments = Vec::with_capacity(length);
        let mut at = start;
        for _ in 0..length {
            at = at.wrapping_add(unzigzag(reader.number()?));
            moments.push(at);
        }
        let mut rows = vec![Vec::with_capacity(width); length];
        for _ in 0..width {
            let mut counts = reader.column(length)?;
            let mut before = 0_u64;
            for count in &mut counts {
                before = before.wrapping_add_signed(unzigzag(*count));
                *count = before;
            }
            let (below, above) = (reader.column(length)?, reader.column(length)?);
            for (row, ((count, below), above)) in rows.iter_mut().zip(counts.into_iter().zip(below).zip(above)) {
                row.push(count.checked_sub(1).map(|mean| Span {
                    least: mean.saturating_sub(below),
                    mean,
                    most: mean.saturating_add(above),
                }));
            }
        }
        Ok(Self(moments.into_iter().zip(rows).collect()))
    }
}

/// What several spans come to.
#[derive(Clone, Copy, Debug, Default)]
struct Gathered {
    least: Option<u64>,
    most: u64,
    sum: u128,
    count: u32,
}

impl Gathered {
    fn add(&mut self, span: Option<Span>) {
        let Some(span) = span else {
            return;
        };
        self.least = Some(self.least.map_or(span.least, |least| least.min(span.least)));
        self.most = self.most.max(span.most);
        self.sum += u128::from(span.mean);
        self.count += 1;
    }

    fn span(&self) -> Option<Span> {
        let mean = (self.sum + u128::from(self.count) / 2).checked_div(self.count.into())?;
        Some(Span { least: self.least?, mean: u64::try_from(mean).ok()?, most: self.most })
    }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Zeros that follow each other are one zero and how many more there are.
fn put_column(bytes: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    let mut zeros = 0_u64;
    for number in numbers {
        if number == 0 {
            zeros += 1;
            continue;
        }
        put_zeros(bytes, std::mem::take(&mut zeros));
        put(bytes, number);
    }
    put_zeros(bytes, zeros);
}

fn put_zeros(bytes: &mut Vec<u8>, zeros: u64) {
    if zeros > 0 {
        put(bytes, 0);
        put(bytes, zeros - 1);
    }
}

/// Small numbers of either sign as small numbers.
const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// Of the column that is read, still to come.
    zeros: u64,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.bytes.split_first().ok_or(Unreadable)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Unreadable);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Unreadable)
    }

    fn size(&mut self, most: usize) -> Result<usize, Unreadable> {
        usize::try_from(self.number()?).ok().filter(|size| *size <= most).ok_or(Unreadable)
    }

    fn column(&mut self, length: usize) -> Result<Vec<u64>, Unreadable> {
        self.zeros = 0;
        let mut column = Vec::with_capacity(length);
        while column.len() < length {
            column.push(self.next_of_column()?);
        }
        if self.zeros == 0 { Ok(column) } else { Err(Unreadable) }
    }

    fn next_of_column(&mut self) -> Result<u64, Unreadable> {
        if let Some(left) = self.zeros.checked_sub(1) {
            self.zeros = left;
            return Ok(0);
        }
        let number = self.number()?;
        if number == 0 {
            self.zeros = self.number()?;
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(values: &[(i64, &[Option<u64>])]) -> Points {
        let mut points = Points::default();
        for (at, values) in values {
            points.insert(*at, values.iter().map(|value| value.map(Span::once)).collect());
        }
        points
    }

    #[test]
    fn an_hour_of_rest_takes_few_bytes() {
        let rest: Vec<(i64, &[Option<u64>])> =
            (0..240).map(|turn| (1_000 + turn * 15, &[Some(4096), Some(0), None][..])).collect();
        let bytes = points(&rest).encode(1_000);
        assert!(bytes.len() < 280, "{}", bytes.len());
        assert_eq!(Points::decode(&bytes, 1_000).unwrap(), points(&rest));
    }

    #[test]
    fn points_further_apart_keep_the_least_and_the_most() {
        let close =
            points(&[(60, &[Some(1), None]), (75, &[Some(6), None]), (119, &[None, Some(3)]), (120, &[Some(9)])]);
        let far = close.spread(60);
        let minute: Vec<(i64, &[Option<Span>])> = far.iter().collect();
        assert_eq!(minute[0], (60, &[Some(Span { least: 1, mean: 4, most: 6 }), Some(Span::once(3))][..]));
        assert_eq!(minute[1], (120, &[Some(Span::once(9))][..]));
        let hour = far.spread(3600);
        assert_eq!(hour.iter().next().unwrap().1[0], Some(Span { least: 1, mean: 7, most: 9 }));
    }

    #[test]
    fn a_point_of_the_same_moment_takes_the_place() {
        let mut kept = points(&[(1, &[Some(1)]), (2, &[Some(2)])]);
        kept.extend(points(&[(2, &[Some(3)])]));
        assert_eq!(kept, points(&[(1, &[Some(1)]), (2, &[Some(3)])]));
    }

    #[test]
    fn bytes_that_claim_much_are_refused() {
        for bytes in [&[][..], &[2], &[1, 1, 0xff, 0xff, 0xff, 1], &[1, 200, 1, 1], &[1, 1, 1, 0, 0, 9]] {
            assert_eq!(Points::decode(bytes, 0), Err(Unreadable), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(
            rows in proptest::collection::btree_map(0_i64..10_000_000, proptest::collection::vec(proptest::option::of((any::<u32>(), any::<u32>(), any::<u32>())), 3), 0..40),
            start in -5_i64..5_000,
        ) {
            let mut points = Points::default();
            for (at, values) in rows {
                let span = |(mean, below, above): (u32, u32, u32)| {
                    let mean = u64::from(mean) << 10;
                    Span { least: mean.saturating_sub(below.into()), mean, most: mean + u64::from(above) }
                };
                points.insert(at, values.into_iter().map(|value| value.map(span)).collect());
            }
            prop_assert_eq!(Points::decode(&points.encode(start), start), Ok(points));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Points::decode(&bytes, 0));
        }
    }
}
