//! A word where a URL should be may be a subcommand with a slip of the finger.

use clap::CommandFactory;

use super::args::Cli;

/// How alike two words must be.
const ALIKE: f64 = 0.7;

/// What to say of a word that was meant for a subcommand; `None` if it resembles none.
pub fn subcommand(word: &str) -> Option<String> {
    let cli = Cli::command();
    let names = cli.get_subcommands().filter(|command| !command.is_hide_set()).map(|command| command.get_name());
    let (likeness, name) = names
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    // A subcommand is recognised as such only in the first place.
    if word == name {
        return Some(format!("the command '{name}' comes first; write mcp-reconnect {name} …"));
    }
    (likeness >= ALIKE).then(|| format!("'{word}' is no URL and no command; did you mean mcp-reconnect {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_hosts_are_not() {
        for (word, name) in
            [("chek", "check"), ("chekc", "check"), ("warp", "wrap"), ("unwarp", "unwrap"), ("dmeo", "demo")]
        {
            assert!(subcommand(word).is_some_and(|text| text.contains(&format!("mcp-reconnect {name}"))), "{word}");
        }
        for word in ["example.test/mcp", "localhost:3000", "jarvis", "-"] {
            assert_eq!(subcommand(word), None, "{word}");
        }
    }
}
