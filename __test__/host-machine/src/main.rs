//! Answers one line of JSON on standard output for each on standard input, until that closes.

use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    for line in io::stdin().lock().split(b'\n') {
        let mut output = io::stdout().lock();
        writeln!(output, "{}", host_machine::answer(&line?))?;
        output.flush()?;
    }
    host_machine::close_all();
    Ok(())
}
