//! Compiles libFuzzer. A separate package, because its build dependencies would change features of
//! the host's libraries, which would then be recompiled.
