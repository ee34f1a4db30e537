//! Runs the mutants with the tests that reach them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Mutant;
use crate::build::Built;

/// A test, as it went without a mutant.
struct Test {
    program: usize,
    name: String,
    took: Duration,
    /// It makes something panic, and catches that.
    panics: bool,
    reached: BTreeSet<usize>,
}

/// A test that takes longer is a slow one.
const SLOW: Duration = Duration::from_millis(250);
/// What is said of a mutant that only the slow tests can catch.
const QUICK_PASSED: &str = "survived the quick tests";
/// Tests that are run first, because some of them mostly notice.
const FIRST: usize = 12;
/// No test takes longer without a mutant than this, or it is not used.
const LONGEST: Duration = Duration::from_secs(20);
/// A test that takes so much longer than without a mutant will not end.
const PATIENCE: u32 = 10;
const LEAST: Duration = Duration::from_secs(4);
/// More memory, in KiB, no test needs.
const MEMORY: u64 = 6 << 20;

pub fn run(folder: &Path, mutants: &[Mutant], built: &Built, numbers: &[usize]) {
    let tests = reached(folder, built);
    println!("{} tests", tests.len());
    let kept = folder.join("outcomes");
    let before = fs::read_to_string(&kept).unwrap_or_default();
    let mut outcomes: BTreeMap<String, String> =
        before.lines().filter_map(|line| line.split_once('\t')).map(|(o, name)| (name.into(), o.into())).collect();
    let mut file = OpenOptions::new().create(true).append(true).open(&kept).expect("a file that can be written");
    // All of them with the quick tests, and then what is left with the slow ones.
    for slow in [false, true] {
        for number in numbers {
            let name = &mutants[*number].name;
            let before = outcomes.get(name).map(String::as_str);
            if matches!(before, Some(outcome) if outcome.starts_with("caught") || !slow && outcome == QUICK_PASSED) {
                continue;
            }
            let outcome = outcome(built, &tests, *number, slow);
            if slow && !outcome.starts_with("caught") {
                println!("{outcome}: {name}");
            }
            let _ = writeln!(file, "{outcome}\t{name}");
            outcomes.insert(name.clone(), outcome);
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for number in numbers {
        let outcome = &outcomes[&mutants[*number].name];
        *counts.entry(outcome.split(':').next().unwrap_or_default()).or_default() += 1;
    }
    println!("{counts:?}");
}

fn outcome(built: &Built, tests: &[Test], number: usize, slow: bool) -> String {
    let site = built.numbers[&number];
    let mut reaching: Vec<&Test> = tests.iter().filter(|test| test.reached.contains(&site)).collect();
    if reaching.is_empty() {
        return "not reached".to_owned();
    }
    reaching.retain(|test| slow == (test.took > SLOW));
    reaching.sort_by_key(|test| test.took);
    let (first, rest) = reaching.split_at(FIRST.min(reaching.len()));
    for part in [first, rest] {
        // The slow ones by themselves, the others of a program together.
        let mut groups: Vec<Vec<&Test>> = Vec::new();
        for test in part {
            let like = |group: &&mut Vec<&Test>| (group[0].program, group[0].panics) == (test.program, test.panics);
            match groups.iter_mut().find(like).filter(|_| !slow) {
                Some(group) => group.push(test),
                None => groups.push(vec![test]),
            }
        }
        groups.sort_by_key(|group| group.iter().map(|test| test.took).sum::<Duration>() / group.len() as u32);
        for group in groups {
            let (program, panics) = (group[0].program, group[0].panics);
            let names: Vec<&str> = group.iter().map(|test| test.name.as_str()).collect();
            let usual: Duration = group.iter().map(|test| test.took).sum();
            let (name, path) = &built.programs[program];
            let mut command = command(path, &names, &number.to_string());
            if panics {
                command.env("MUTANT_PANICS", "wanted");
            }
            match ended(&mut command, usual * PATIENCE + LEAST) {
                Some(true) => {}
                Some(false) => return format!("caught: {name}"),
                None => return format!("caught: {name} does not end"),
            }
        }
    }
    if slow { "survived" } else { QUICK_PASSED }.to_owned()
}

/// Runs every test by itself without a mutant, and finds out which sites it reaches.
fn reached(folder: &Path, built: &Built) -> Vec<Test> {
    let list = folder.join("reached");
    let mut tests = Vec::new();
    for (program, (_, path)) in built.programs.iter().enumerate() {
        let listed = Command::new(path).args(["--list", "--format", "terse"]).output().expect("a test program");
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            let Some(name) = line.strip_suffix(": test") else { continue };
            let attempt = |panics: bool| {
                let _ = fs::remove_file(&list);
                let mut command = command(path, &[name], "reached");
                command.env("MUTANT_REACHED", &list);
                if panics {
                    command.env("MUTANT_PANICS", "wanted");
                }
                let began = Instant::now();
                (ended(&mut command, LONGEST) == Some(true)).then(|| began.elapsed())
            };
            let first = attempt(false);
            let panics = first.is_none();
            let Some(took) = first.or_else(|| attempt(true)) else {
                println!("not used, since it fails or takes too long without a mutant: {name}");
                continue;
            };
            let reached = fs::read_to_string(&list).unwrap_or_default();
            let reached = reached.lines().filter_map(|site| site.parse().ok()).collect();
            tests.push(Test { program, name: name.to_owned(), took, panics, reached });
        }
    }
    tests
}

fn command(program: &PathBuf, tests: &[&str], turn: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"")).arg(program);
    command.args(["--test-threads", "1", "--exact"]).args(tests).env("MUTANT", turn);
    command.current_dir(program.ancestors().nth(4).expect("it is in target/debug/deps").join("guest/core"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Whether it ends well; nothing if it does not end in time.
fn ended(command: &mut Command, limit: Duration) -> Option<bool> {
    let began = Instant::now();
    let mut child = command.spawn().expect("a test program");
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status.success());
        }
        if began.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        sleep(Duration::from_millis(2));
    }
}
