// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any bytes as the initrd: as a state, and as a recording that begins there, replayed and compared
//! under several placements. In any format, they are read by commands that a user would type.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let run = "load; relocate linux,cma 64; replay failures=all; release all; load BiscuitOS_cma; release all; \
               replay align=page placement=spare-heads failed=keep; release all; replay until=failure placement=relocate; \
               release all; compare load=replay placements=next-fit,zoned align=order";
    debris_fuzz::at_the_monitor(run, b"", Some(bytes));
});
