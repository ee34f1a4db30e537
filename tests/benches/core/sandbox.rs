//! The price of the sandbox: one engine, one script, as a Rust library, as a component under Wasmtime, and as the npm package's
//! component under Node.

use std::time::Instant;

use crate::native::Native;
use crate::node::Node;
use crate::report::{self, Verdict};
use crate::script::{Answer, Driver, Engine, Texts};
use crate::stats::Sample;
use crate::wasm::Wasm;

/// The sizes of messages, and how many calls are one figure.
const SIZES: [(&str, usize, usize); 3] = [("1 KB", 1 << 10, 2_000), ("64 KB", 64 << 10, 100), ("1 MB", 1 << 20, 10)];
const ROUNDS: usize = 21;
/// Rounds that are not counted: compilers and allocators settle.
const WARM_UP: usize = 4;

/// Microseconds that may be added to a message of 1 KB.
const ADDED: f64 = 10.0;
/// How many times the native cost a larger message may cost.
const RATIO: f64 = 1.5;

/// Measures; gives the part of the report.
pub fn measure() -> String {
    let mut version = String::new();
    let mut rows = Vec::new();
    let mut verdicts = Vec::new();
    for answer in [Answer::Json, Answer::Sse] {
        for (size_name, size, calls) in SIZES {
            let name = format!("{size_name}, {}", answer.name());
            // As in a program, which has one engine: another instance of it in the same process makes both slower.
            let mut node = Node::start();
            let [native, wasm, jco] = in_turn(&mut node, &name, answer, size, calls);
            version.clone_from(&node.version);
            let cell = |sample: &Sample| {
                let (cost, base) = (sample.median(), native.median());
                format!("{} | {:.2} | {:+.1}", sample.show(1e3, 1), cost / base, (cost - base) / 2e3)
            };
            rows.push(format!("| {name} | {} | {} | {} |", native.show(1e3, 1), cell(&wasm), cell(&jco)));
            for (host, sample) in [("Wasmtime", &wasm), ("Node", &jco)] {
                let what = format!("{host}, {name}");
                verdicts.push(if size_name == "1 KB" {
                    Verdict::at_most(&what, "µs added per message", (sample.median() - native.median()) / 2e3, ADDED)
                } else {
                    Verdict::at_most(&what, "times the native cost", sample.median() / native.median(), RATIO)
                });
            }
        }
    }
    let component = env!("ENGINE_WASM_BYTES").parse::<f64>().unwrap_or_default() / 1024.0;
    format!(
        "### The price of the sandbox\n\n\
         One call: a message of the size in, its POST out, an answer of the size in ({} KiB a read), its message out; with every \
         input, all outputs and the deadline taken; for Node a process of its own in each row. µs a call, how many times the native cost, µs added per message \
         (a call is two). The component has {component:.0} KiB.\n\n\
         | message, answer | native | Wasmtime | × | + µs | Node {}, jco | × | + µs |\n|---|---|---|---|---|---|---|---|\n{}\n\n{}",
        crate::script::CHUNK >> 10,
        version,
        rows.join("\n"),
        report::verdicts(&verdicts),
    )
}

/// Nanoseconds a call: native, under Wasmtime, under Node.
fn in_turn(node: &mut Node, name: &str, answer: Answer, size: usize, calls: usize) -> [Sample; 3] {
    eprintln!("sandbox: {name}");
    let mut texts = Texts::new(size, answer);
    let mut native = Driver::ready(Native::new());
    let mut wasm = Driver::ready(Wasm::new());
    node.prepare(name, answer, &texts);
    let mut samples = <[Sample; 3]>::default();
    for round in 0..ROUNDS + WARM_UP {
        let a = run(&mut native, answer, &mut texts, calls);
        let b = run(&mut wasm, answer, &mut texts, calls);
        let c = node.run(name, calls);
        assert_eq!((a.1, a.1), (b.1, c.1), "all deliver the same");
        if round >= WARM_UP {
            for (sample, (nanoseconds, _)) in samples.iter_mut().zip([a, b, c]) {
                sample.push(nanoseconds / calls as f64);
            }
        }
    }
    samples
}

fn run<E: Engine>(driver: &mut Driver<E>, answer: Answer, texts: &mut Texts, calls: usize) -> (f64, usize) {
    let began = Instant::now();
    let bytes = (0..calls).map(|_| driver.call(answer, texts)).sum();
    (began.elapsed().as_nanos() as f64, bytes)
}
