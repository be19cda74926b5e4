//! The output of a process without a terminal: the engine sends it in frames,
//! each with a head that says from which of its two outputs it comes and how
//! long it is. Here only the bytes are left, wherever the frames were cut.

/// Bytes of a frame's head; the last four are the length of what follows.
const HEAD: usize = 8;

/// Takes the heads out of a stream of frames.
#[derive(Debug, Default)]
pub struct Frames {
    head: Vec<u8>,
    /// Bytes of the present frame that are still to come.
    left: usize,
}

impl Frames {
    /// What the frames in `bytes` hold; `bytes` may begin and end anywhere.
    pub fn unpack(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut content = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.take_head(bytes);
                continue;
            }
            let (now, rest) = bytes.split_at(self.left.min(bytes.len()));
            content.extend_from_slice(now);
            self.left -= now.len();
            bytes = rest;
        }
        content
    }

    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (now, rest) = bytes.split_at((HEAD - self.head.len()).min(bytes.len()));
        self.head.extend_from_slice(now);
        if let [_, _, _, _, a, b, c, d] = self.head[..] {
            self.left = u32::from_be_bytes([a, b, c, d]) as usize;
            self.head.clear();
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_unpacked_wherever_they_are_cut() {
        let mut sent = Vec::new();
        for (output, text) in [(1_u8, "one\n"), (2, ""), (2, "two\n"), (1, "three\n")] {
            sent.extend([output, 0, 0, 0]);
            sent.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            sent.extend(text.as_bytes());
        }
        for size in 1..=sent.len() {
            let mut frames = Frames::default();
            let content: Vec<u8> = sent.chunks(size).flat_map(|chunk| frames.unpack(chunk)).collect();
            assert_eq!(content, b"one\ntwo\nthree\n", "in pieces of {size}");
        }
    }
}
