//! The bytes of a request's body: unpacked, with a limit, and with patience only while they come.

use std::{io, time::Duration};

use api::Error;
use async_compression::{
    tokio::bufread::{GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt as _};
use tokio_util::io::StreamReader;

/// How much is unpacked at a time.
const PIECE: usize = 64 << 10;

/// The largest window of zstd that is unpacked, as RFC 8878 recommends: 8 MiB. More would be memory of the sender's choice.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How much is read of a body that is refused, so that its sender gets to see why.
const DRAIN: u64 = 16 << 20;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// From the header `Content-Encoding`.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return match headers.get_all(header::CONTENT_ENCODING).iter().count() {
                0 => Ok(Self::Identity),
                _ => Err(Error::EncodingUnsupported("several".into())),
            };
        };
        let value = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
        match value.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Error::EncodingUnsupported(value.chars().take(40).collect())),
        }
    }
}

/// A body as it is read.
pub(crate) struct Incoming {
    source: Source,
    left: u64,
    limit: u64,
}

enum Source {
    Plain { body: BodyDataStream, timeout: Duration },
    Packed(Box<dyn AsyncRead + Send + Unpin>),
}

impl Incoming {
    /// At most `limit` unpacked bytes of `body`, of which some must come within `timeout`.
    pub(crate) fn new(body: Body, coding: Coding, timeout: Duration, limit: u64) -> Self {
        let body = body.into_data_stream();
        let source = match coding {
            Coding::Identity => Source::Plain { body, timeout },
            Coding::Gzip => Source::Packed(Box::new(gzip(StreamReader::new(timed(body, timeout))))),
            Coding::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                Source::Packed(Box::new(ZstdDecoder::with_params(StreamReader::new(timed(body, timeout)), &window)))
            }
        };
        Self { source, left: limit, limit }
    }

    /// The next unpacked bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = match &mut self.source {
            Source::Plain { body, timeout } => match next_within(body, *timeout).await? {
                Some(piece) => piece,
                None => return Ok(None),
            },
            Source::Packed(reader) => {
                let mut piece = BytesMut::with_capacity(PIECE);
                match reader.read_buf(&mut piece).await.map_err(unpacking)? {
                    0 => return Ok(None),
                    _ => piece.freeze(),
                }
            }
        };
        self.left = self.left.checked_sub(piece.len() as u64).ok_or(Error::TooLarge(self.limit))?;
        Ok(Some(piece))
    }

    /// Reads on and forgets, so that a client that is still sending gets to see the answer; gives up at the end of the
    /// body, after some megabytes, or when the client is not sending at all.
    pub(crate) async fn drain(self) {
        const PATIENCE: Duration = Duration::from_millis(300);
        let Source::Plain { mut body, .. } = self.source else { return };
        let mut left = DRAIN;
        while let Ok(Some(Ok(piece))) = tokio::time::timeout(PATIENCE, body.next()).await {
            match left.checked_sub(piece.len() as u64) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }
}

/// Deals with a body that is refused before it is read.
pub(crate) async fn refuse(headers: &HeaderMap, body: Body, timeout: Duration) {
    // Reading would tell a client that waits for it to go on.
    if !headers.contains_key(header::EXPECT) {
        Incoming::new(body, Coding::Identity, timeout, DRAIN).drain().await;
    }
}

/// Refuses a body that says itself that it is too long.
pub(crate) fn check_declared(headers: &HeaderMap, limit: u64) -> Result<(), Error> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit) { Err(Error::TooLarge(limit)) } else { Ok(()) }
}

fn gzip(packed: impl AsyncBufRead) -> GzipDecoder<impl AsyncBufRead> {
    let mut decoder = GzipDecoder::new(packed);
    decoder.multiple_members(true);
    decoder
}

async fn next_within(body: &mut BodyDataStream, timeout: Duration) -> Result<Option<Bytes>, Error> {
    match tokio::time::timeout(timeout, body.next()).await {
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(None) => Ok(None),
        Ok(Some(Err(error))) => {
            tracing::debug!(%error, "a body broke off");
            Err(Error::BodyInvalid("The request body ended early or is malformed".into()))
        }
        Err(_) => Err(Error::BodyTimeout(timeout)),
    }
}

/// Errors of the body on their way through a decoder, which knows only errors of the system.
fn timed(body: BodyDataStream, timeout: Duration) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin {
    Box::pin(futures::stream::try_unfold(body, move |mut body| async move {
        let piece = next_within(&mut body, timeout).await.map_err(io::Error::other)?;
        Ok(piece.map(|piece| (piece, body)))
    }))
}

fn unpacking(error: io::Error) -> Error {
    let text = error.to_string();
    match error.into_inner().and_then(|inner| inner.downcast::<Error>().ok()) {
        Some(error) => *error,
        None => Error::BodyInvalid(format!("The request body cannot be unpacked: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn read(mut incoming: Incoming) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(piece) = incoming.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).expect("packed");
        encoder.finish().expect("packed")
    }

    /// A body that comes byte by byte.
    fn dripping(bytes: &[u8]) -> Body {
        let pieces: Vec<_> = bytes.iter().map(|byte| Ok::<_, io::Error>(Bytes::from(vec![*byte]))).collect();
        Body::from_stream(futures::stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_is_unpacked_whatever_its_pieces() {
        let text = b"{\"a\":[1,2,3]}".repeat(1000);
        let mut members = gzipped(&text[..100]);
        members.extend(gzipped(&text[100..]));
        let packed = [
            (Coding::Identity, text.clone()),
            (Coding::Gzip, gzipped(&text)),
            (Coding::Gzip, members),
            (Coding::Zstd, zstd::encode_all(&text[..], 3).expect("packed")),
        ];
        for (coding, bytes) in packed {
            for body in [Body::from(bytes.clone()), dripping(&bytes)] {
                let unpacked = read(Incoming::new(body, coding, SECOND, 1 << 20)).await;
                assert_eq!(unpacked.as_ref(), Ok(&text), "{coding:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_limit_counts_unpacked_bytes() {
        let bomb = gzipped(&vec![b' '; 10 << 20]);
        assert!(bomb.len() < 20_000);
        let result = read(Incoming::new(Body::from(bomb), Coding::Gzip, SECOND, 1 << 20)).await;
        assert_eq!(result, Err(Error::TooLarge(1 << 20)));
        assert!(read(Incoming::new(Body::from("12345"), Coding::Identity, SECOND, 5)).await.is_ok());
        let result = read(Incoming::new(Body::from("123456"), Coding::Identity, SECOND, 5)).await;
        assert_eq!(result, Err(Error::TooLarge(5)));
    }

    #[tokio::test]
    async fn what_is_not_packed_as_declared_is_an_error() {
        for (coding, bytes) in [
            (Coding::Gzip, b"{}".to_vec()),
            (Coding::Zstd, b"{}".to_vec()),
            (Coding::Gzip, gzipped(&[b'x'; 1000])[..20].to_vec()),
        ] {
            let result = read(Incoming::new(Body::from(bytes), coding, SECOND, 1 << 20)).await;
            assert!(matches!(result, Err(Error::BodyInvalid(_))), "{coding:?}: {result:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_ends_in_a_timeout() {
        for coding in [Coding::Identity, Coding::Gzip] {
            let body = Body::from_stream(futures::stream::pending::<io::Result<Bytes>>());
            let result = read(Incoming::new(body, coding, SECOND, 1 << 20)).await;
            assert_eq!(result, Err(Error::BodyTimeout(SECOND)), "{coding:?}");
        }
    }

    #[test]
    fn codings_are_known_by_name() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().expect("a value"));
            }
            Coding::of(&headers)
        };
        assert_eq!(of(&[]), Ok(Coding::Identity));
        assert_eq!(of(&["identity"]), Ok(Coding::Identity));
        assert_eq!(of(&["GZIP"]), Ok(Coding::Gzip));
        assert_eq!(of(&["zstd"]), Ok(Coding::Zstd));
        assert_eq!(of(&["br"]), Err(Error::EncodingUnsupported("br".into())));
        assert!(of(&["gzip, zstd"]).is_err() && of(&["gzip", "zstd"]).is_err());
    }
}
