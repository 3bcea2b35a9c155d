// SPDX-License-Identifier: MIT OR Apache-2.0

//! `symbolize ELF [ADDRESS…]`: prints function and line of each address, or of each address in the
//! text on standard input, so that a whole panic can be pasted.

use std::env;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;

use boot_tests::symbols::{Symbols, addresses};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("symbolize: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut arguments = env::args().skip(1);
    let elf = arguments.next().ok_or("usage: symbolize ELF [ADDRESS…]")?;
    let symbols = Symbols::load(Path::new(&elf))?;
    let words: Vec<String> = arguments.collect();
    let asked = if words.is_empty() {
        if io::stdin().is_terminal() {
            eprintln!("Paste the backtrace, then Ctrl-D:");
        }
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
        addresses(&text)
    } else {
        let parse = |word: &String| {
            u64::from_str_radix(word.trim_start_matches("0x"), 16).map_err(|_| format!("'{word}' is no hex address"))
        };
        words.iter().map(parse).collect::<Result<_, _>>()?
    };
    let mut resolved = 0;
    for address in asked {
        let places = symbols.resolve(address);
        // Text on standard input has other numbers too; an address given as an argument always gets
        // a line.
        if places.is_empty() && !words.is_empty() {
            println!("{address:#010x} is not code of the image");
        }
        for (index, place) in places.iter().enumerate() {
            match index {
                0 => println!("{address:#010x} {place}"),
                _ => println!("           inlined into {place}"),
            }
        }
        resolved += usize::from(!places.is_empty());
    }
    if resolved == 0 { Err(format!("no address that is code in {elf}")) } else { Ok(()) }
}
