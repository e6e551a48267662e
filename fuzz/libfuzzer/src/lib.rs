//! libFuzzer, compiled, and nothing else. A package of its own, because what
//! compiles it would have other features, and with them all of the host's
//! libraries would be compiled again.
