//! The minqiao program: configuration, wiring, commands.
