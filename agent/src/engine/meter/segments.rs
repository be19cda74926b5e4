//! Measurements on the agent's disk, for the time when no hub takes them:
//! files that are only ever added to, of a bounded size together. What a crash
//! left half-written at the end of one is passed over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ring::digest;
use windflow_protocol::codec;
use windflow_protocol::message::metrics::Metrics;
use windflow_protocol::message::metrics::deltas::{Extent, Hearer, Measured, Teller};

use super::buffer::{Kept, Moment};
use crate::host;

/// Measurements in one file: an hour of them.
const SEGMENT_SAMPLES: usize = 240;
/// Most bytes of one record: everything of a host told anew.
const RECORD_MAX: usize = 256 * 1024;
/// Most bytes of one file.
const SEGMENT_MAX: u64 = 8 * 1024 * 1024;
/// Most bytes of all files together. Fifty busy containers fill it in two days,
/// most hosts never.
pub const DISK_MAX: u64 = 24 * 1024 * 1024;
const MAGIC: &[u8; 4] = b"WFM1";
/// Magic, the host's boot, the epoch.
const HEADER: usize = 4 + 16 + 8;
/// A record's length and the beginning of the digest of what follows.
const RECORD_HEADER: usize = 4 + 4;
const ENDING: &str = "seg";

/// The files in one folder.
#[derive(Debug)]
pub struct Segments {
    folder: PathBuf,
    /// Oldest first.
    files: Vec<Segment>,
    open: Option<Open>,
    size_max: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    first: u64,
    last: u64,
    size: u64,
}

/// The newest file, while it is added to.
#[derive(Debug)]
struct Open {
    file: File,
    teller: Teller,
    samples: usize,
}

/// What an earlier run left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub epoch: [u8; 8],
    pub last: u64,
}

impl Segments {
    /// Looks at what is in the folder, and makes it where it is missing. Files
    /// that cannot be read, and those of another epoch than the newest, are
    /// removed.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(folder: &Path, size_max: u64) -> io::Result<(Self, Option<Found>)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut segments = Self { folder: folder.to_owned(), files: Vec::new(), open: None, size_max };
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
        paths.sort();
        let mut found: Option<Found> = None;
        for path in paths.into_iter().rev() {
            match read(&path) {
                Some(Content { epoch, samples, size }) if found.is_none_or(|found| found.epoch == epoch) => {
                    let (first, last) = (samples.first(), samples.last());
                    let Some((first, last)) = first.zip(last).map(|(first, last)| (first.sequence, last.sequence))
                    else {
                        remove(&path);
                        continue;
                    };
                    found = found.or(Some(Found { epoch, last }));
                    segments.files.insert(0, Segment { path, first, last, size });
                }
                Some(_) | None => remove(&path),
            }
        }
        segments.make_room();
        Ok((segments, found))
    }

    /// Adds measurements; they are on the disk when this returns.
    ///
    /// # Errors
    /// When they cannot be written. Some of them may have been.
    pub fn append(&mut self, epoch: [u8; 8], samples: &[Arc<Kept>]) -> io::Result<()> {
        for share in samples.chunks(SEGMENT_SAMPLES) {
            self.append_some(epoch, share).inspect_err(|_| self.open = None)?;
        }
        self.make_room();
        Ok(())
    }

    fn append_some(&mut self, epoch: [u8; 8], samples: &[Arc<Kept>]) -> io::Result<()> {
        let Some(first) = samples.first() else {
            return Ok(());
        };
        let is_full = |segment: &Segment| segment.size >= SEGMENT_MAX;
        if self.open.as_ref().is_none_or(|open| open.samples >= SEGMENT_SAMPLES)
            || self.files.last().is_some_and(is_full)
        {
            self.begin(epoch, first.sequence)?;
        }
        let (Some(open), Some(segment)) = (&mut self.open, self.files.last_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut bytes = Vec::new();
        for sample in samples {
            bytes.extend(record(&mut open.teller, sample)?);
            segment.last = sample.sequence;
        }
        open.file.write_all(&bytes)?;
        open.samples += samples.len();
        segment.size += bytes.len() as u64;
        open.file.sync_data()
    }

    /// The measurements of the oldest file that has some after this number.
    pub fn after(&self, sequence: u64) -> Vec<Kept> {
        let Some(segment) = self.files.iter().find(|segment| segment.last > sequence) else {
            return Vec::new();
        };
        let mut samples = read(&segment.path).map(|content| content.samples).unwrap_or_default();
        samples.retain(|sample| sample.sequence > sequence);
        samples
    }

    /// The number of the last measurement that is here.
    pub fn last(&self) -> Option<u64> {
        self.files.last().map(|segment| segment.last)
    }

    /// Removes what ends at this number or before.
    pub fn forget(&mut self, until: u64) {
        while self.files.first().is_some_and(|segment| segment.last <= until) {
            self.remove_first();
        }
    }

    fn begin(&mut self, epoch: [u8; 8], first: u64) -> io::Result<()> {
        let path = self.folder.join(format!("{first:020}.{ENDING}"));
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path)?;
        let header = [&MAGIC[..], &host::boot(), &epoch].concat();
        file.write_all(&header)?;
        self.files.push(Segment { path, first, last: first, size: header.len() as u64 });
        self.open = Some(Open { file, teller: Teller::default(), samples: 0 });
        Ok(())
    }

    fn make_room(&mut self) {
        while self.files.len() > 1 && self.files.iter().map(|segment| segment.size).sum::<u64>() > self.size_max {
            let segment = &self.files[0];
            tracing::warn!(
                first = segment.first,
                last = segment.last,
                "the oldest measurements make room for new ones"
            );
            self.remove_first();
        }
    }

    fn remove_first(&mut self) {
        let segment = self.files.remove(0);
        if self.files.is_empty() {
            self.open = None;
        }
        remove(&segment.path);
    }
}

struct Content {
    epoch: [u8; 8],
    samples: Vec<Kept>,
    size: u64,
}

/// What is in a file, as far as it makes sense.
fn read(path: &Path) -> Option<Content> {
    let size = fs::metadata(path).ok()?.len();
    if size > SEGMENT_MAX * 2 {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    let (header, mut rest) = bytes.split_at_checked(HEADER)?;
    let (magic, boot) = header.split_at_checked(MAGIC.len())?;
    let (boot, epoch) = (boot.first_chunk::<16>()?, boot.last_chunk::<8>()?);
    if magic != MAGIC {
        return None;
    }
    let (mut samples, mut hearer) = (Vec::new(), Hearer::default());
    while let Some((sample, behind)) = read_record(rest, *boot, &mut hearer) {
        samples.push(sample);
        rest = behind;
    }
    Some(Content { epoch: *epoch, samples, size })
}

/// Its length, the beginning of a digest, both moments, and the messages.
fn record(teller: &mut Teller, sample: &Kept) -> io::Result<Vec<u8>> {
    let measured = Measured { sequence: sample.sequence, age_millis: 0, readings: sample.readings.clone() };
    let mut body = Vec::new();
    body.extend(millis(sample.at.since_boot).to_le_bytes());
    body.extend(sample.at.clock_micros.to_le_bytes());
    for message in teller.tell(&measured, Extent::Everything) {
        body.extend(codec::frame(&message).map_err(io::Error::other)?);
    }
    let length = u32::try_from(body.len()).ok().filter(|length| *length as usize <= RECORD_MAX);
    let length = length.ok_or(io::ErrorKind::InvalidData)?;
    Ok([&length.to_le_bytes()[..], &checksum(&body), &body].concat())
}

fn read_record<'a>(bytes: &'a [u8], boot: [u8; 16], hearer: &mut Hearer) -> Option<(Kept, &'a [u8])> {
    let (header, rest) = bytes.split_at_checked(RECORD_HEADER)?;
    let length = u32::from_le_bytes(*header.first_chunk()?) as usize;
    let (body, rest) = rest.split_at_checked(length).filter(|_| length <= RECORD_MAX)?;
    if checksum(body) != header[4..] {
        return None;
    }
    let (since_boot, body) = body.split_first_chunk()?;
    let (clock, mut body) = body.split_first_chunk()?;
    let at = Moment {
        boot,
        since_boot: Duration::from_millis(u64::from_le_bytes(*since_boot)),
        clock_micros: i64::from_le_bytes(*clock),
    };
    loop {
        let (length, behind) = body.split_first_chunk()?;
        let (message, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        body = behind;
        let message: Metrics = codec::decode(message).ok()?;
        if let Some((measured, _)) = hearer.hear(message).ok()? {
            return Some((Kept { sequence: measured.sequence, at, readings: measured.readings }, rest));
        }
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let digest = digest::digest(&digest::SHA256, bytes);
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One that stays is told again, and found again after the next start.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "measurements that are no longer needed cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use windflow_protocol::message::metrics::Subject;
    use windflow_protocol::message::metrics::deltas::Reading;

    use super::*;

    const EPOCH: [u8; 8] = [4; 8];

    fn samples(numbers: std::ops::RangeInclusive<u64>) -> Vec<Arc<Kept>> {
        let sample = |sequence| {
            let readings = vec![Reading { subject: Subject::Host, values: vec![Some(sequence * 7), Some(5)] }];
            Arc::new(Kept { sequence, at: Moment::now(), readings })
        };
        numbers.map(sample).collect()
    }

    fn numbers(samples: &[Kept]) -> Vec<u64> {
        samples.iter().map(|sample| sample.sequence).collect()
    }

    fn open(folder: &tempfile::TempDir) -> (Segments, Option<Found>) {
        Segments::open(folder.path(), DISK_MAX).unwrap()
    }

    #[test]
    fn what_was_written_is_there_after_a_start_and_goes_when_it_is_kept_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (mut segments, found) = open(&folder);
        assert_eq!(found, None);
        let written = samples(1..=500);
        segments.append(EPOCH, &written[..3]).unwrap();
        segments.append(EPOCH, &written[3..]).unwrap();
        let (mut segments, found) = open(&folder);
        assert_eq!(found, Some(Found { epoch: EPOCH, last: 500 }));
        let first = segments.after(2);
        assert_eq!(first[0].readings, written[2].readings);
        let mut all = numbers(&first);
        while let Some(last) = all.last().copied().filter(|last| *last < 500) {
            all.extend(numbers(&segments.after(last)));
        }
        assert_eq!(all, (3..=500).collect::<Vec<u64>>());
        segments.forget(499);
        assert_eq!(numbers(&segments.after(499)), [500]);
        segments.append(EPOCH, &samples(501..=502)).unwrap();
        segments.forget(502);
        assert_eq!(segments.last(), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        segments.append(EPOCH, &samples(503..=503)).unwrap();
        assert_eq!(numbers(&segments.after(0)), [503]);
    }

    #[test]
    fn what_a_crash_left_at_the_end_is_passed_over_wherever_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let (mut segments, _) = open(&folder);
        segments.append(EPOCH, &samples(1..=2)).unwrap();
        let path = segments.files[0].path.clone();
        let two = fs::read(&path).unwrap();
        segments.append(EPOCH, &samples(3..=3)).unwrap();
        let three = fs::read(&path).unwrap();
        for cut in two.len()..three.len() {
            fs::write(&path, &three[..cut]).unwrap();
            assert_eq!(numbers(&open(&folder).0.after(0)), [1, 2], "cut at {cut}");
        }
        let mut zeros = two.clone();
        zeros.resize(three.len(), 0);
        fs::write(&path, &zeros).unwrap();
        assert_eq!(numbers(&open(&folder).0.after(0)), [1, 2]);
        fs::write(&path, b"WFM1").unwrap();
        assert_eq!(open(&folder).1, None);
    }

    #[test]
    fn the_oldest_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let (mut segments, _) = Segments::open(folder.path(), 100 * 1024).unwrap();
        for start in 0..20 {
            segments.append(EPOCH, &samples(start * 240 + 1..=start * 240 + 240)).unwrap();
        }
        let size: u64 =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(size <= 100 * 1024, "{size}");
        assert_eq!(segments.last(), Some(20 * 240));
        assert!(segments.after(0)[0].sequence > 240);
    }
}
