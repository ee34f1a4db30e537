//! The bridge beside its peers and the direct call, in one run on one machine: `cargo bench --bench peers`.
//!
//! A whole run writes its parts of `docs/benchmarks.md` and `docs/benchmarks.svg`. Options, after `--`:
//! `--quick` measures little, `--only NAME` and `--figure NAME` (both repeatable) measure a part, `--compare REV` measures the native
//! command of another revision (a tag or commit, or a program's path) in turn with this one; these print only. `--eras` measures and
//! writes only what the versions without sessions cost.

#[path = "../document.rs"]
mod document;
#[path = "../../support/mod.rs"]
mod support;

mod client;
mod competitor;
mod eras;
mod figures;
mod messages;
mod peers;
mod process;
mod report;
mod results;
mod server;
mod transport;

use std::path::Path;
use std::time::Instant;

use figures::{Bench, FIGURES, Scale};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, port] = arguments.as_slice()
        && command == "serve"
    {
        return server::serve(port.parse().expect("a port"));
    }
    let options = Options::read(&arguments);
    let docs = support::tests_folder().join("../docs");
    if options.eras || options.is_whole() {
        write_eras(&options, &docs);
    }
    if options.eras {
        return;
    }
    let (mut competitors, missing) =
        competitor::all(|name| options.only.is_empty() || options.only.iter().any(|only| only == name));
    if let Some(revision) = &options.compare {
        competitors.push(competitor::other(revision).unwrap_or_else(|why| stop(&why)));
    }
    let scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    let mut bench = Bench::new(competitors, scale);
    let began = Instant::now();
    for (name, measure) in FIGURES {
        if options.figures.is_empty() || options.figures.iter().any(|figure| figure == name) {
            eprintln!("{:4.0} s  {name}", began.elapsed().as_secs_f64());
            measure(&mut bench);
        }
    }
    eprintln!("{:4.0} s  done", began.elapsed().as_secs_f64());
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let part = report::markdown(&bench.competitors, &bench.results, minutes, &missing);
    println!("{part}");
    let plot = report::plot(&bench.competitors, &bench.results);
    if options.is_whole() {
        document::replace(&docs.join("benchmarks.md"), "peers", &part);
        std::fs::write(docs.join("benchmarks.svg"), plot).expect("docs/ is writable");
    } else {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("benchmarks.svg");
        std::fs::write(&path, plot).expect("the build folder is writable");
        eprintln!("only a part: docs/ stays as it is; the plot is {}", path.display());
    }
}

/// What the versions without sessions cost.
fn write_eras(options: &Options, docs: &Path) {
    let (commands, _) = competitor::all(|name| name == competitor::NATIVE);
    let scale = if options.quick { eras::Scale::QUICK } else { eras::Scale::FULL };
    let part = eras::measure(&commands[0], scale).unwrap_or_else(|why| panic!("the eras cannot be measured: {why}"));
    println!("{part}");
    if !options.quick {
        document::replace(&docs.join("benchmarks.md"), "eras", &part);
    }
}

#[derive(Default)]
struct Options {
    quick: bool,
    eras: bool,
    only: Vec<String>,
    figures: Vec<String>,
    compare: Option<String>,
}

impl Options {
    /// Whether all is measured, as the document wants it.
    fn is_whole(&self) -> bool {
        !self.quick && self.only.is_empty() && self.figures.is_empty() && self.compare.is_none()
    }

    fn read(arguments: &[String]) -> Self {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| stop(&format!("{argument} wants a value"))).clone();
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--eras" => options.eras = true,
                "--only" => options.only.push(value()),
                "--figure" => options.figures.push(value()),
                "--compare" => options.compare = Some(value()),
                // What cargo says to every benchmark.
                "--bench" => {}
                other => stop(&format!(
                    "{other} is unknown; there are --quick, --eras, --only NAME, --figure NAME and --compare REV"
                )),
            }
        }
        options
    }
}

fn stop(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(2);
}
