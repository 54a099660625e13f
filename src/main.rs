//! The `greenroom` program: everything is in `greenroom::cli`.

fn main() -> std::process::ExitCode {
    greenroom::cli::main()
}
