//! Eras.
