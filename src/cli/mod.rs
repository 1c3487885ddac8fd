//! One file per subcommand; exactly what was typed.
