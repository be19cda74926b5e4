//! The mask of a client's frames (RFC 6455 §5.3).

/// A mask and how far it has been applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    pub(super) const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Masks or unmasks the next bytes of a payload.
    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.0;
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (chunks, tail) = bytes.as_chunks_mut::<8>();
        for chunk in chunks {
            *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
        }
        for (byte, key) in tail.iter_mut().zip(self.0.iter().cycle()) {
            *byte ^= key;
        }
        self.0.rotate_left(tail.len() % 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_masked_in_pieces_is_masked_as_a_whole() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let plain: Vec<u8> = (0..100).collect();
        let expected: Vec<u8> = plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        for first in 0..40 {
            let (mut masked, mut mask) = (plain.clone(), Mask::new(key));
            let (head, tail) = masked.split_at_mut(first);
            mask.apply(head);
            mask.apply(tail);
            assert_eq!(masked, expected, "cut after {first}");
        }
    }

    #[test]
    fn the_example_of_the_specification_reads_hello() {
        // RFC 6455 §5.7, a single-frame masked text message.
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        Mask::new([0x37, 0xfa, 0x21, 0x3d]).apply(&mut payload);
        assert_eq!(&payload, b"Hello");
    }
}
