//! A capture in one file: a tar archive, compressed with zstd.

use std::io::{self, Read};

use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::live::Recording;

/// Files in one archive, and bytes in one file of it, at most; a bomb holds more.
const MOST_FILES: usize = 10_000;
const LARGEST_FILE: u64 = 256 << 20;

/// The first bytes of a zstd stream.
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Packs a recording.
///
/// # Errors
/// A file name too long for the format; none that evenkeel makes is.
pub fn pack(recording: &Recording) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in &recording.files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes.as_slice())?;
    }
    let plain = archive.into_inner()?;
    Ok(compress_to_vec(plain.as_slice(), CompressionLevel::Fastest))
}

/// Unpacks an archive, handing each file to `each` as it comes.
///
/// # Errors
/// The archive is cut or damaged; the files before the damage were handed over.
pub(super) fn unpack(packed: impl Read, mut each: impl FnMut(&str, &[u8])) -> io::Result<()> {
    let plain = StreamingDecoder::new(packed).map_err(io::Error::other)?;
    let mut archive = tar::Archive::new(plain);
    for entry in archive.entries()?.take(MOST_FILES) {
        let entry = entry?;
        let name = entry
            .path()?
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut bytes = Vec::new();
        entry.take(LARGEST_FILE).read_to_end(&mut bytes)?;
        each(&name, &bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_reads_back_with_its_times() {
        let recording = Recording {
            files: vec![
                (
                    "t0.goroutine.debug2.txt".into(),
                    b"goroutine 7 [chan send]:\nmain.f()\n\tf.go:1 +0x1\n".to_vec(),
                ),
                (
                    "capture.json".into(),
                    br#"{"evenkeel_capture":1,"origin":"http://a:6060","moments_s":[0.5]}"#
                        .to_vec(),
                ),
            ],
            ..Recording::default()
        };
        let packed = pack(&recording).unwrap();
        let capture = crate::source::read_stream("x.tar.zst", packed.as_slice()).unwrap();
        assert_eq!(capture.origin, "http://a:6060");
        assert_eq!(capture.moments[0].at, Some(0.5));
        assert_eq!(capture.moments[0].goroutines.as_ref().unwrap().read, 1);
    }

    #[test]
    fn a_cut_archive_is_noted() {
        let recording = Recording {
            files: vec![("t0.goroutine.debug2.txt".into(), vec![b'x'; 100_000])],
            ..Recording::default()
        };
        let packed = pack(&recording).unwrap();
        let capture = crate::source::read_stream("x.tar.zst", &packed[..packed.len() / 2]).unwrap();
        assert!(capture.is_empty());
        assert!(!capture.notes.is_empty());
    }
}
