//! The cookies of each session: they bring its requests back to the server that has it, behind a balancer with affinity.
//! They live as long as the session, over all of its connections, and go nowhere but to the origin that set them.

use alloc::collections::BTreeMap;
use alloc::string::String;

use crate::Instant;
use crate::wire::cookies::{Jar, Refused};
use crate::wire::url::Url;

/// The cookies of the session there is, and of the one that is being made, by epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Cookies {
    jars: BTreeMap<u64, Jar>,
    /// It was said that some were dropped.
    said: bool,
}

impl Cookies {
    /// A session is being made, without the cookies of the one before: a balancer is to choose anew.
    pub fn begin(&mut self, epoch: u64) {
        self.jars.insert(epoch, Jar::default());
    }

    /// A session has ended.
    pub fn end(&mut self, epoch: u64) {
        self.jars.remove(&epoch);
    }

    /// Takes the cookies of a response. True if one did not fit, the first time that this happens.
    pub fn learn<'a>(
        &mut self,
        epoch: u64,
        lines: impl Iterator<Item = &'a [u8]>,
        url: &Url,
        date: Option<&[u8]>,
        now: Instant,
    ) -> bool {
        let Some(jar) = self.jars.get_mut(&epoch) else { return false };
        let mut full = false;
        for line in lines {
            full |= jar.set(line, url, date, now) == Err(Refused::TooMany);
        }
        full && !core::mem::replace(&mut self.said, true)
    }

    /// The `Cookie` header of a request of a session to `url`, where the user set `own`, or nothing. `None`: the user's is all there is.
    pub fn header(&self, epoch: u64, url: &Url, own: &str, now: Instant) -> Option<String> {
        let ours = self.jars.get(&epoch)?.header(url, own, now)?;
        let own = own.trim().trim_end_matches(';');
        Some(if own.is_empty() { ours } else { alloc::format!("{own}; {ours}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::time::tests::at;

    #[test]
    fn cookies_that_do_not_fit_are_told_once_and_others_never() {
        let url = Url::parse("http://server.test/mcp").expect("it is one");
        let mut cookies = Cookies::default();
        cookies.begin(1);
        let mut learn = |lines: &[&[u8]]| cookies.learn(1, lines.iter().copied(), &url, None, at(0));
        assert!(!learn(&[b"a=1", b"not a cookie", b"b=2; Domain=other.test"]));
        let many: alloc::vec::Vec<_> = (0..1000).map(|number| alloc::format!("c{number}=1").into_bytes()).collect();
        let many: alloc::vec::Vec<_> = many.iter().map(alloc::vec::Vec::as_slice).collect();
        assert!(learn(&many));
        assert!(!learn(&many));
    }
}
