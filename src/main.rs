//! The `greenroom` program. All code is in `greenroom::cli`.

fn main() -> std::process::ExitCode {
    greenroom::cli::main()
}
