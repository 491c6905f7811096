//! Logs as they are fetched: plain or compressed, told by their first bytes and not by their names.

use std::io::{self, Read};

use thiserror::Error;

use crate::log::{LineEnds, Log};

/// How a log was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Packing {
    /// Told by the first bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x1F, 0x8B, ..] => Self::Gzip,
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// What becomes of line ends in such a log, in the worker (spec section 1).
    pub const fn line_ends(self) -> LineEnds {
        match self {
            Self::Plain => LineEnds::Raw,
            Self::Gzip | Self::Zstd => LineEnds::Universal,
        }
    }
}

/// A log cannot be read.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// It is damaged.
    #[error("damaged {packing:?} data")]
    Damaged {
        /// What it seems to be.
        packing: Packing,
        /// What is wrong with it.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("empty log")]
    Empty,
}

/// The bytes of a log.
#[derive(Debug)]
pub struct Unpacked {
    /// Decompressed.
    pub bytes: Vec<u8>,
    /// What they were.
    pub packing: Packing,
    /// There are more, beyond the limit.
    pub is_cut: bool,
}

/// Decompresses what is compressed, up to `limit` bytes; what is beyond is left out.
///
/// # Errors
/// The compressed data are damaged before the limit is reached.
pub fn unpack(mut bytes: Vec<u8>, limit: usize) -> Result<Unpacked, UnpackError> {
    let packing = Packing::of(&bytes);
    let unpacked = match packing {
        Packing::Plain => {
            let is_cut = bytes.len() > limit;
            bytes.truncate(limit);
            return Ok(Unpacked { bytes, packing, is_cut });
        }
        Packing::Gzip => read_up_to(flate2::read::MultiGzDecoder::new(&bytes[..]), limit),
        Packing::Zstd => zstd::stream::read::Decoder::new(&bytes[..]).and_then(|reader| read_up_to(reader, limit)),
    };
    let (bytes, is_cut) = unpacked.map_err(|source| UnpackError::Damaged { packing, source })?;
    Ok(Unpacked { bytes, packing, is_cut })
}

fn read_up_to(reader: impl Read, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    reader.take((limit as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    let is_cut = bytes.len() > limit;
    bytes.truncate(limit);
    Ok((bytes, is_cut))
}

/// The log as the worker reads it: see [`unpack`]. The flag says that it was cut.
///
/// # Errors
/// It is damaged or has no text at all.
pub fn log(bytes: Vec<u8>, limit: usize) -> Result<(Log, bool), UnpackError> {
    let unpacked = unpack(bytes, limit)?;
    if unpacked.bytes.is_empty() {
        return Err(UnpackError::Empty);
    }
    Ok((Log::new(unpacked.bytes, unpacked.packing.line_ends()), unpacked.is_cut))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).expect("a vector takes everything");
        writer.finish().expect("a vector takes everything")
    }

    #[test]
    fn logs_are_known_by_their_first_bytes() {
        let zstd = zstd::encode_all(&b"a\r\nb"[..], 1).expect("it compresses");
        for (packed, packing) in
            [(b"a\r\nb".to_vec(), Packing::Plain), (gzip(b"a\r\nb"), Packing::Gzip), (zstd, Packing::Zstd)]
        {
            let unpacked = unpack(packed.clone(), 4).expect("nothing is damaged");
            assert_eq!((&unpacked.bytes[..], unpacked.packing, unpacked.is_cut), (&b"a\r\nb"[..], packing, false));
            let cut = unpack(packed.clone(), 3).expect("nothing is damaged");
            assert_eq!((&cut.bytes[..], cut.is_cut), (&b"a\r\n"[..], true));
            let (log, _) = log(packed, 100).expect("nothing is damaged");
            assert_eq!(log.len(), if packing == Packing::Plain { 4 } else { 3 });
        }
    }

    #[test]
    fn several_gzip_members_are_one_log() {
        let both = [gzip(b"a"), gzip(b"b")].concat();
        assert_eq!(unpack(both, 9).expect("nothing is damaged").bytes, b"ab");
    }

    #[test]
    fn damage_and_emptiness_are_said() {
        let half = gzip(&[7; 5000]);
        assert!(matches!(unpack(half[..12].to_vec(), 9000), Err(UnpackError::Damaged { packing: Packing::Gzip, .. })));
        assert!(matches!(log(Vec::new(), 9), Err(UnpackError::Empty)));
        assert!(matches!(log(gzip(b""), 9), Err(UnpackError::Empty)));
    }
}
