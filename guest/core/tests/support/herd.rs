//! Ten thousand engines lose one server at the same instant. When do they come back?

use mcp_reconnect_core::{Event, Options, TransportChoice};
use std::time::Duration;

use super::server::Knobs;
use super::world::{Fault, Happening, World};
use super::{SECOND, URL};

/// The width of a bucket.
pub const BUCKET: Duration = Duration::from_millis(100);

/// How many engines came back in each bucket after the server did.
#[derive(Clone, Debug)]
pub struct Herd {
    pub away: Duration,
    pub engines: usize,
    pub buckets: Vec<usize>,
}

impl Herd {
    /// Engines with seeds of their own, a server that is away for so long, and nobody who waits for it.
    pub fn run(engines: usize, away: Duration) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let times: Vec<Duration> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|worker| {
                    scope.spawn(move || {
                        let seeds = (worker..engines).step_by(threads);
                        seeds.map(|seed| return_of(seed as u64, away)).collect::<Vec<_>>()
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("no engine panics")).collect()
        });
        Self::of(away, &times)
    }

    /// The same for a client that doubles a fixed second, without jitter: 1 s, 2 s, 4 s … 30 s after each failure.
    pub fn doubling(engines: usize, away: Duration) -> Self {
        let (mut at, mut step) = (SECOND, SECOND);
        while at < away {
            step = (step * 2).min(30 * SECOND);
            at += step;
        }
        Self::of(away, &vec![at - away; engines])
    }

    fn of(away: Duration, times: &[Duration]) -> Self {
        let last = times.iter().max().map_or(0, |time| bucket(*time));
        let mut buckets = vec![0; last + 1];
        for time in times {
            buckets[bucket(*time)] += 1;
        }
        Self { away, engines: times.len(), buckets }
    }

    /// The share of the fullest bucket.
    pub fn peak(&self) -> f64 {
        let most = self.buckets.iter().copied().max().unwrap_or(0);
        most as f64 / self.engines as f64
    }

    /// How long until all were back.
    pub fn last(&self) -> Duration {
        self.buckets.len() as u32 * BUCKET
    }
}

/// The bucket that this belongs to.
fn bucket(time: Duration) -> usize {
    (time.as_nanos() / BUCKET.as_nanos()) as usize
}

/// How long after the server an engine comes back.
fn return_of(seed: u64, away: Duration) -> Duration {
    let mut options = Options::new(URL);
    options.transport = TransportChoice::HttpSse;
    let mut world = World::with(Knobs::sse(), options, seed).untraced();
    world.open();
    world.now(Fault::Kill);
    world.after(away, Happening::Fault(Fault::Start));
    let back = world.now + away;
    let returned = |world: &World| world.events.iter().any(|(_, event)| matches!(event, Event::Reconnected { .. }));
    assert!(world.run_until(away + 120 * SECOND, returned), "engine {seed} never came back");
    world.now - back
}

/// A plot of what the engines do, beside what fixed doubling does.
pub fn svg(engine: &Herd, doubling: &Herd) -> String {
    const WIDTH: usize = 960;
    const HEIGHT: usize = 220;
    let columns = engine.buckets.len().max(doubling.buckets.len()).max(1);
    let mut body = String::new();
    for (row, (name, herd, color)) in
        [("mcp-reconnect", engine, "#2a7a4b"), ("fixed 1 s doubling, no jitter", doubling, "#b3402a")]
            .into_iter()
            .enumerate()
    {
        let most = herd.buckets.iter().copied().max().unwrap_or(1).max(1);
        let base = 40 + (row + 1) * (HEIGHT + 50) - 20;
        body += &format!(
            "<text x=\"20\" y=\"{}\">{name}: at most {most} of {} in 100 ms, all back after {:.1} s</text>\n",
            base - HEIGHT - 8,
            herd.engines,
            herd.last().as_secs_f64(),
        );
        for (at, count) in herd.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            let width = (WIDTH as f64 / columns as f64).max(1.0);
            let height = *count as f64 / most as f64 * HEIGHT as f64;
            body += &format!(
                "<rect x=\"{:.2}\" y=\"{:.1}\" width=\"{width:.2}\" height=\"{height:.1}\" fill=\"{color}\"/>\n",
                20.0 + at as f64 * WIDTH as f64 / columns as f64,
                base as f64 - height,
            );
        }
        body += &format!("<path d=\"M20 {base}h{WIDTH}\" stroke=\"#888\"/>\n");
    }
    let bottom = 40 + 2 * (HEIGHT + 50);
    for tick in 0..=10 {
        let seconds = columns as f64 * tick as f64 / 100.0;
        body += &format!(
            "<text x=\"{}\" y=\"{bottom}\" text-anchor=\"middle\">{seconds:.1} s</text>\n",
            20 + WIDTH * tick / 10
        );
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"20\" y=\"26\" font-size=\"17\">{} clients lose one server at the same instant, for {} s: returns per 100 ms after it is back</text>\n{body}</svg>\n",
        WIDTH + 50,
        bottom + 16,
        engine.engines,
        engine.away.as_secs_f64(),
    )
}
