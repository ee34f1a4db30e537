//! Opens a browser: the program that `$BROWSER` names, else the system's own opener. No shell sees the URL; it is one argument.
//! (The crates for this go on to try terminal browsers, which would take the terminal, or the client's pipe, for themselves.)

use std::process::{Command, Stdio};

/// Whether there is likely a browser that a person sees.
pub fn is_likely() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(windows, target_os = "macos")) || set("BROWSER") || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// Starts a browser, which outlives this process.
///
/// # Errors
///
/// Why none was started, for people.
pub fn open(url: &str) -> Result<(), String> {
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err("the URL is not of the web".to_owned());
    }
    let mut tried = Vec::new();
    for words in commands(std::env::var("BROWSER").ok().as_deref(), url) {
        let Some((program, arguments)) = words.split_first() else { continue };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // What ends this program does not end the browser.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        match command.spawn() {
            Ok(mut child) => {
                // Reaped, whenever it ends; an opener ends at once.
                let _ = std::thread::Builder::new().name("browser".into()).spawn(move || child.wait());
                return Ok(());
            }
            Err(error) => tried.push(format!("{program}: {error}")),
        }
    }
    Err(tried.join("; "))
}

/// The commands to try, in words. `$BROWSER` holds one or more, separated by colons, each with `%s` for the URL or without.
fn commands(browser: Option<&str>, url: &str) -> Vec<Vec<String>> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    // A path of Windows has colons of its own.
    let of_user = browser.into_iter().flat_map(|all| if cfg!(windows) { vec![all] } else { all.split(':').collect() });
    let mut all: Vec<Vec<String>> = of_user.map(words).filter(|words| !words.is_empty()).collect();
    for words in &mut all {
        if words.iter().any(|word| word.contains("%s")) {
            words.iter_mut().for_each(|word| *word = word.replace("%s", url));
        } else {
            words.push(url.to_owned());
        }
    }
    if all.is_empty() {
        let opener = if cfg!(target_os = "macos") {
            "open"
        } else if cfg!(windows) {
            // Not `cmd /c start`, to which `&` in a URL is a command.
            "rundll32 url.dll,FileProtocolHandler"
        } else {
            "xdg-open"
        };
        all.push(words(opener));
        all[0].push(url.to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_one_argument() {
        let url = "https://as/authorize?a=1&b=$(x) y;z";
        for (browser, expected) in [
            ("curl -sL", vec![vec!["curl", "-sL", url]]),
            ("firefox:w3m %s", vec![vec!["firefox", url], vec!["w3m", url]]),
        ] {
            if cfg!(not(windows)) {
                assert_eq!(commands(Some(browser), url), expected);
            }
        }
        for nothing in [None, Some(""), Some(" ")] {
            let all = commands(nothing, url);
            assert_eq!((all.len(), all[0].last().map(String::as_str)), (1, Some(url)));
        }
    }

    #[test]
    fn only_urls_of_the_web() {
        for url in ["file:///etc/passwd", "javascript:alert(1)", "-h", "", "HTTPS:x"] {
            assert!(open(url).is_err(), "{url}");
        }
    }
}
