//! Tokens, field encryption, key ring and signing behind one suite trait.
