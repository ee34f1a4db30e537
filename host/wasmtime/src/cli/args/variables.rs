//! Options from the environment, as arguments before those of the command line. clap's own reading of variables knows nothing of
//! several values, and takes an empty one for a value.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, CommandFactory};
use mcp_reconnect_command::variable;

use super::Cli;

/// Commands that connect as the bridge does, and share its options.
pub(super) const CONNECTING: [&str; 3] = ["check", "login", "logout"];

/// The command line with what the environment has beside it.
pub struct WithVariables {
    pub arguments: Vec<OsString>,
    /// The variables that were used.
    pub used: Vec<String>,
    /// The switches that were switched off.
    pub off: Vec<String>,
}

/// Adds what the environment has.
pub fn with_variables(
    mut arguments: Vec<OsString>,
    lookup: impl Fn(&str) -> Option<OsString>,
) -> Result<WithVariables, String> {
    let cli = Cli::command();
    let sub = arguments.get(1).and_then(|word| cli.find_subcommand(word));
    if sub.is_some_and(|sub| !CONNECTING.contains(&sub.get_name())) {
        return Ok(WithVariables { arguments, used: Vec::new(), off: Vec::new() });
    }
    let of_the_bridge: Vec<&str> = cli.get_arguments().filter_map(|arg| arg.get_long()).collect();
    let (mut added, mut used, mut off) = (Vec::new(), Vec::new(), Vec::new());
    for arg in sub.unwrap_or(&cli).get_arguments() {
        let Some(long) = arg.get_long().filter(|long| of_the_bridge.contains(long)) else { continue };
        let name = variable::name(long);
        let Some(value) = lookup(&name).filter(|value| !value.is_empty()) else { continue };
        if is_given(&arguments, long, arg.get_short()) {
            continue;
        }
        let option = OsString::from(format!("--{long}"));
        let with = |value: &OsStr| {
            let mut word = option.clone();
            word.push("=");
            word.push(value);
            word
        };
        match (arg.get_action(), value.to_str()) {
            (ArgAction::SetTrue, text) => match variable::switch(text.unwrap_or_default()) {
                Ok(false) => {
                    off.push(long.to_owned());
                    continue;
                }
                Ok(true) => added.push(option),
                Err(mend) => return Err(format!("{name} is for the switch --{long}; {mend}")),
            },
            (ArgAction::Append, Some(text)) => added.extend(variable::lines(text).map(|line| with(line.as_ref()))),
            (ArgAction::Set | ArgAction::Append, _) => added.push(with(&value)),
            _ => continue,
        }
        used.push(name);
    }
    let at = if sub.is_some() { 2 } else { 1 }.min(arguments.len());
    arguments.splice(at..at, added);
    Ok(WithVariables { arguments, used, off })
}

/// Whether the command line has the option.
pub(super) fn is_given(arguments: &[OsString], long: &str, short: Option<char>) -> bool {
    let words = arguments.iter().skip(1).take_while(|word| *word != "--").filter_map(|word| word.to_str());
    let name = |word: &str| word.strip_prefix("--").map(|word| word.split('=').next() == Some(long));
    words.into_iter().any(|word| {
        name(word)
            .unwrap_or_else(|| short.is_some_and(|short| word.strip_prefix('-').is_some_and(|w| w.starts_with(short))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let all = std::iter::once("mcp-reconnect").chain(arguments.iter().copied()).map(OsString::from).collect();
        let lookup = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into());
        let all = with_variables(all, lookup)?.arguments;
        Ok(all.into_iter().skip(1).map(|word| word.into_string().expect("a text")).collect())
    }

    #[test]
    fn what_the_command_line_says_goes_before() {
        let variables = [
            ("MCP_RECONNECT_LOG", "debug"),
            ("MCP_RECONNECT_HEADER", "A: 1\nB: 2\n"),
            ("MCP_RECONNECT_HEARTBEAT_STRICT", "true"),
            ("MCP_RECONNECT_NOTIFY_CLIENT", "0"),
            ("MCP_RECONNECT_PROXY", ""),
        ];
        let words = |arguments: &[&str]| with(arguments, &variables).unwrap();
        assert_eq!(words(&["u"]), ["--header=A: 1", "--header=B: 2", "--log=debug", "--heartbeat-strict", "u"]);
        assert_eq!(words(&["--log=off", "-HC: 3", "u"]), ["--heartbeat-strict", "--log=off", "-HC: 3", "u"]);
        assert_eq!(words(&["check", "u"]), ["check", "--header=A: 1", "--header=B: 2", "u"]);
        assert_eq!(words(&["wrap"]), ["wrap"]);
        let error = with(&["u"], &[("MCP_RECONNECT_HEARTBEAT_STRICT", "maybe")]).unwrap_err();
        assert!(error.contains("MCP_RECONNECT_HEARTBEAT_STRICT") && error.contains("write 1 or 0"), "{error}");
    }

    /// Each option has its variable, and the value gets to it.
    #[test]
    fn every_option_has_one() {
        let mut seen = 0;
        for arg in Cli::command().get_arguments() {
            let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else { continue };
            let words = with(&[], &[(&variable::name(long), "1")]).unwrap();
            let expected = if matches!(arg.get_action(), ArgAction::SetTrue) { "" } else { "=1" };
            assert_eq!(words, [format!("--{long}{expected}")]);
            seen += 1;
        }
        assert!(seen > 40, "{seen}");
    }
}
