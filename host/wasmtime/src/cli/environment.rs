//! The process's environment, for option values that name a variable.

use std::env;

use super::expand::VarError;

/// The value of a variable.
pub fn lookup(name: &str) -> Result<String, VarError> {
    env::var(name).map_err(|error| match error {
        env::VarError::NotPresent => VarError::NotPresent,
        env::VarError::NotUnicode(_) => VarError::NotUnicode,
    })
}
