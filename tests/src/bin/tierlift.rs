//! The program under test.

use std::process::ExitCode;

fn main() -> ExitCode {
    tierlift::main_with(std::env::args_os())
}
