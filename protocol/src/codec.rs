//! Typed messages as bytes: bincode 2 behind a length. The only module that
//! knows the encoding; replacing it touches no caller.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::limits::MESSAGE_MAX;

/// A type that travels as one length-delimited message.
pub trait Message: Serialize + DeserializeOwned {
    /// What the message is called in errors and logs.
    const NAME: &'static str;
    /// Most bytes its encoding may take; never above [`MESSAGE_MAX`].
    const LIMIT: usize;
    /// What a receiver makes of bytes behind the fields it knows.
    const TAIL: Tail = Tail::Refused;
    /// For an enum that grows: how many variants this build knows, so that a
    /// newer one is told from garbage and can be passed over.
    const VARIANTS: Option<u32> = None;
}

/// Whether a message may carry more than this build can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Extra bytes mean the message is malformed.
    Refused,
    /// Extra bytes are fields of a newer version and are passed over.
    Ignored,
}

/// Why a message could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// It is longer than its type may be. Nothing was allocated for it.
    #[error("{name} of {length} bytes is above the limit of {limit}")]
    TooLarge {
        /// The message's name.
        name: &'static str,
        /// The length that was claimed or needed.
        length: usize,
        /// The limit of its type.
        limit: usize,
    },
    /// Its bytes are not an encoding of its type.
    #[error("malformed {name}")]
    Malformed {
        /// The message's name.
        name: &'static str,
    },
    /// It is a variant that this build does not know.
    #[error("{name} has the unknown variant {variant}")]
    UnknownVariant {
        /// The message's name.
        name: &'static str,
        /// The variant's number.
        variant: u32,
    },
    /// The stream failed or ended before or within it.
    #[error("stream ended: {0}")]
    Io(#[from] std::io::Error),
}

/// Encodes one message without its length.
///
/// # Errors
/// [`CodecError::TooLarge`] above the type's limit.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, CodecError> {
    let bytes =
        bincode::serde::encode_to_vec(message, config()).map_err(|_| CodecError::Malformed { name: M::NAME })?;
    check_length::<M>(bytes.len())?;
    Ok(bytes)
}

/// Decodes one message from exactly its bytes.
///
/// # Errors
/// [`CodecError::TooLarge`], [`CodecError::UnknownVariant`] or
/// [`CodecError::Malformed`]; never a panic, whatever the bytes.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, CodecError> {
    check_length::<M>(bytes.len())?;
    check_variant::<M>(bytes)?;
    let malformed = CodecError::Malformed { name: M::NAME };
    match bincode::serde::decode_from_slice(bytes, config()) {
        Ok((message, read)) if read == bytes.len() || M::TAIL == Tail::Ignored => Ok(message),
        Ok(_) | Err(_) => Err(malformed),
    }
}

/// Writes one message, its length first (`u32`, little-endian), and flushes.
///
/// # Errors
/// As [`encode`], and when the stream fails.
pub async fn write_message<M: Message, W: AsyncWrite + Unpin>(to: &mut W, message: &M) -> Result<(), CodecError> {
    let framed = frame(message)?;
    to.write_all(&framed).await?;
    Ok(to.flush().await?)
}

/// One message with its length before it, ready to be written in one piece.
///
/// # Errors
/// As [`encode`].
pub fn frame<M: Message>(message: &M) -> Result<Vec<u8>, CodecError> {
    let body = encode(message)?;
    let length = u32::try_from(body.len()).expect("every limit is far below 4 GiB");
    let mut framed = Vec::with_capacity(4 + body.len());
    framed.extend_from_slice(&length.to_le_bytes());
    framed.extend_from_slice(&body);
    Ok(framed)
}

/// Reads one message. The caller brings the deadline. Not cancel safe: a
/// reader that is dropped half-way has lost its place in the stream.
///
/// # Errors
/// As [`decode`], and when the stream fails or ends. A length above the limit
/// is refused before anything is allocated.
pub async fn read_message<M: Message, R: AsyncRead + Unpin>(from: &mut R) -> Result<M, CodecError> {
    decode(&read_encoded::<M, R>(from).await?)
}

/// Reads one message as its bytes, without its length, for whoever counts them
/// before they are decoded. Otherwise as [`read_message`].
///
/// # Errors
/// When the stream fails or ends, or the length is above the limit.
pub async fn read_encoded<M: Message, R: AsyncRead + Unpin>(from: &mut R) -> Result<Vec<u8>, CodecError> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length) as usize;
    check_length::<M>(length)?;
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok(body)
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MESSAGE_MAX>()
}

fn check_length<M: Message>(length: usize) -> Result<(), CodecError> {
    const { assert!(M::LIMIT <= MESSAGE_MAX) };
    if length <= M::LIMIT {
        return Ok(());
    }
    Err(CodecError::TooLarge { name: M::NAME, length, limit: M::LIMIT })
}

fn check_variant<M: Message>(bytes: &[u8]) -> Result<(), CodecError> {
    let Some(known) = M::VARIANTS else {
        return Ok(());
    };
    match bincode::decode_from_slice::<u32, _>(bytes, config()) {
        Ok((variant, _)) if variant >= known => Err(CodecError::UnknownVariant { name: M::NAME, variant }),
        Ok(_) => Ok(()),
        Err(_) => Err(CodecError::Malformed { name: M::NAME }),
    }
}

#[cfg(test)]
mod tests;
