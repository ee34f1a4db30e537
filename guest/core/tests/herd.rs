//! Ten thousand engines that lose one server at the same instant do not come back at the same instant.

mod support;

use support::herd::Herd;
use support::*;

const ENGINES: usize = 10_000;

#[test]
fn no_tenth_of_a_second_sees_a_stampede() {
    for (away, share, within) in [
        // The first step of the backoff is half a second, so a blip is over for everyone within that.
        (50 * MILLISECOND, 0.30, SECOND),
        (5 * SECOND, 0.05, 30 * SECOND),
        (30 * SECOND, 0.02, 60 * SECOND),
    ] {
        let herd = Herd::run(ENGINES, away);
        println!(
            "away {} ms: {:.1} % at most in 100 ms, all back after {} ms",
            away.as_millis(),
            herd.peak() * 100.0,
            herd.last().as_millis()
        );
        assert_eq!(herd.buckets.iter().sum::<usize>(), ENGINES);
        assert!(herd.peak() <= share, "{:.1} % in 100 ms after {away:?}: {:?}", herd.peak() * 100.0, herd.buckets);
        assert!(herd.last() <= within, "the last was back after {:?}", herd.last());
        assert!(herd.peak() < Herd::doubling(ENGINES, away).peak());
    }
}
