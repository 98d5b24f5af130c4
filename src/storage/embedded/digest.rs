//! SHA-256 over stored files, block by block, so that a reader can prove just the
//! bytes that it is going to use. A file's own digest is the SHA-256 over those of its
//! blocks; it vouches for the list.

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::ops::Range;

/// Bytes under one digest. Small enough for random access, large enough that the list
/// stays below 0.03 % of the file.
pub(super) const BLOCK: usize = 128 * 1024;

/// Bytes of a digest.
const LENGTH: usize = 32;

/// Below this number of blocks threads cost more than they bring.
const PARALLEL: usize = 8;

/// The SHA-256 of some bytes that follow each other.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; LENGTH] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// Digests of a file that is being written.
#[derive(Debug, Default)]
pub(super) struct Digester {
    block: Sha256,
    filled: usize,
    bytes: u64,
    list: Vec<u8>,
}

impl Digester {
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(BLOCK - self.filled));
            self.block.update(head);
            self.filled += head.len();
            if self.filled == BLOCK {
                self.close_block();
            }
            bytes = rest;
        }
    }

    pub fn finish(mut self) -> Digests {
        if self.filled > 0 {
            self.close_block();
        }
        Digests {
            bytes: self.bytes,
            list: self.list,
        }
    }

    fn close_block(&mut self) {
        self.list
            .extend_from_slice(&std::mem::take(&mut self.block).finalize());
        self.filled = 0;
    }
}

/// Length and digests of a stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests {
    bytes: u64,
    list: Vec<u8>,
}

impl Digests {
    /// Reads back what [`Digests::bytes`], [`Digests::list`] and [`Digests::root`] gave;
    /// none when they do not belong together.
    pub fn from_stored(bytes: u64, list: Vec<u8>, root: &[u8]) -> Option<Self> {
        let blocks = bytes.div_ceil(BLOCK as u64);
        let digests = Digests { bytes, list };
        (digests.list.len() as u64 == blocks * LENGTH as u64 && digests.root() == root)
            .then_some(digests)
    }

    /// Length of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digests of all blocks, one after the other.
    pub fn list(&self) -> &[u8] {
        &self.list
    }

    /// The file's own digest; the length of the last block is part of it.
    pub fn root(&self) -> [u8; LENGTH] {
        sha256(&[&self.bytes.to_le_bytes(), &self.list])
    }

    /// All blocks.
    pub fn all(&self) -> Range<usize> {
        0..self.list.len() / LENGTH
    }

    /// The blocks that hold `range` of the file.
    pub fn blocks(&self, range: Range<u64>) -> Range<usize> {
        let block = BLOCK as u64;
        let start = (range.start / block) as usize;
        let end = range.end.min(self.bytes).div_ceil(block) as usize;
        start..end.max(start)
    }

    /// Where a block is in the file.
    pub fn range(&self, block: usize) -> Range<u64> {
        let start = (block as u64).saturating_mul(BLOCK as u64).min(self.bytes);
        start..(start + BLOCK as u64).min(self.bytes)
    }

    /// Reads one block into `buffer`; false when it is not what was written.
    pub fn read_block(&self, file: &File, block: usize, buffer: &mut Vec<u8>) -> io::Result<bool> {
        let range = self.range(block);
        buffer.resize((range.end - range.start) as usize, 0);
        match read_exact_at(file, buffer, range.start) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        let start = block * LENGTH;
        let expected = self.list.get(start..start + LENGTH);
        Ok(expected.is_some_and(|expected| sha256(&[buffer]) == expected))
    }

    /// Verifies some blocks on all cores; the first damaged one, if any. A file of another
    /// length is damaged whatever is asked for.
    pub fn damaged(&self, file: &File, blocks: &[usize]) -> io::Result<Option<usize>> {
        if file.metadata()?.len() != self.bytes {
            return Ok(Some(self.all().end.saturating_sub(1)));
        }
        let verify = |blocks: &[usize]| {
            let mut buffer = Vec::with_capacity(BLOCK);
            for &block in blocks {
                if !self.read_block(file, block, &mut buffer)? {
                    return Ok(Some(block));
                }
            }
            Ok(None)
        };
        if blocks.len() <= PARALLEL {
            return verify(blocks);
        }
        let found: Vec<io::Result<Option<usize>>> =
            blocks.par_chunks(PARALLEL).map(verify).collect();
        for result in found {
            if let Some(block) = result? {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }
}

/// Reads at a position without moving the file's own.
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset);
    #[cfg(windows)]
    {
        let (mut done, mut rest) = (0, buffer);
        while !rest.is_empty() {
            let read = std::os::windows::fs::FileExt::seek_read(file, rest, offset + done)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            done += read as u64;
            rest = &mut rest[read..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::io::{Seek, SeekFrom, Write};

    fn digests(bytes: &[u8], step: usize) -> Digests {
        let mut digester = Digester::default();
        bytes
            .chunks(step.max(1))
            .for_each(|chunk| digester.update(chunk));
        digester.finish()
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_found() {
        let bytes: Vec<u8> = (0..3 * BLOCK + 7).map(|i| (i % 251) as u8).collect();
        let digests = digests(&bytes, 1000);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let all: Vec<usize> = digests.all().collect();
        assert_eq!(all.len(), 4);
        assert_eq!(digests.damaged(&file, &all).unwrap(), None);
        for position in [0, BLOCK - 1, BLOCK, 2 * BLOCK + 5, 3 * BLOCK + 6] {
            let flip = |file: &mut File, byte: u8| {
                file.seek(SeekFrom::Start(position as u64)).unwrap();
                file.write_all(&[byte]).unwrap();
            };
            flip(&mut file, bytes[position] ^ 1);
            assert_eq!(
                digests.damaged(&file, &all).unwrap(),
                Some(position / BLOCK)
            );
            let others: Vec<usize> = all
                .iter()
                .copied()
                .filter(|b| *b != position / BLOCK)
                .collect();
            assert_eq!(digests.damaged(&file, &others).unwrap(), None);
            flip(&mut file, bytes[position]);
        }
        file.set_len(bytes.len() as u64 - 1).unwrap();
        assert_eq!(digests.damaged(&file, &[0]).unwrap(), Some(3));
    }

    proptest! {
        #[test]
        fn digests_do_not_depend_on_how_bytes_arrive(length in 0usize..3 * BLOCK, step in 1usize..BLOCK * 2) {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 7 % 253) as u8).collect();
            let (one, other) = (digests(&bytes, step), digests(&bytes, bytes.len()));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(one.bytes(), length as u64);
            let stored = Digests::from_stored(one.bytes(), one.list().to_vec(), &one.root());
            prop_assert_eq!(stored, Some(other.clone()));
            prop_assert_eq!(Digests::from_stored(one.bytes() + 1, one.list().to_vec(), &one.root()), None);
        }

        #[test]
        fn blocks_cover_their_range(length in 1u64..10 * BLOCK as u64, a in 0u64..10 * BLOCK as u64, b in 0u64..10 * BLOCK as u64) {
            let digests = Digests { bytes: length, list: vec![0; length.div_ceil(BLOCK as u64) as usize * LENGTH] };
            let (start, end) = (a.min(b).min(length), a.max(b).min(length));
            let blocks = digests.blocks(start..end);
            if start < end {
                prop_assert!(digests.range(blocks.start).start <= start);
                prop_assert!(digests.range(blocks.end - 1).end >= end);
                prop_assert!(blocks.end <= digests.all().end);
            }
        }
    }
}
