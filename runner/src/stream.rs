// SPDX-License-Identifier: MIT OR Apache-2.0

//! A standard stream without the library's buffer, which waits even if a process that shares it has
//! made it non-blocking, as QEMU does.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A standard stream.
#[derive(Debug)]
pub(crate) struct Stream(File);

impl Stream {
    /// Returns the stream of `standard`.
    pub(crate) fn of(standard: impl AsFd) -> Result<Self, String> {
        let descriptor = standard.as_fd().try_clone_to_owned();
        descriptor.map(|descriptor| Self(descriptor.into())).map_err(|error| format!("standard streams: {error}"))
    }

    /// True if a read returns at once: bytes are there, or the stream has ended.
    pub(crate) fn is_ready(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
    }

    fn until_done<T>(&mut self, wanted: PollFlags, mut act: impl FnMut(&mut File) -> io::Result<T>) -> io::Result<T> {
        loop {
            match act(&mut self.0) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
            poll(&mut [PollFd::new(&self.0, wanted)], None)?;
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.until_done(PollFlags::IN, |file| file.read(buffer))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until_done(PollFlags::OUT, |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
