//! Pure tables: what may be sent again, what means that a session is gone, how long to wait.

pub(crate) mod backoff;
pub(crate) mod era;
pub(crate) mod proxy;
pub(crate) mod replay;
pub(crate) mod session_loss;
