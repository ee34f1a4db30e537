//! The file's way of writing JSON, so that what is new in it looks like the rest.

/// How an object is written.
#[derive(Clone, Debug)]
pub struct Style {
    line_end: &'static str,
    /// The white space before the line on which the object begins.
    base: String,
    /// One step of indentation.
    step: String,
    /// Everything on one line.
    compact: bool,
}

impl Style {
    /// The style of `text` at the byte `at`.
    pub fn at(text: &str, at: usize) -> Self {
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        Self {
            line_end: if text.contains("\r\n") { "\r\n" } else { "\n" },
            base: white_space(&text[line..]).to_owned(),
            step: step(text),
            compact: !text.trim().contains('\n'),
        }
    }

    /// An object of members whose values are written already.
    pub fn object(&self, depth: usize, members: &[(String, String)]) -> String {
        self.list(
            depth,
            '{',
            '}',
            members.iter().map(|(name, value)| format!("{}{}{value}", quote(name), self.colon())),
        )
    }

    /// An array of texts.
    pub fn array(&self, depth: usize, texts: &[String]) -> String {
        self.list(depth, '[', ']', texts.iter().map(|text| quote(text)))
    }

    fn colon(&self) -> &'static str {
        if self.compact { ":" } else { ": " }
    }

    fn list(&self, depth: usize, open: char, close: char, parts: impl Iterator<Item = String>) -> String {
        let parts: Vec<String> = parts.collect();
        if self.compact || parts.is_empty() {
            return format!("{open}{}{close}", parts.join(","));
        }
        let outer = format!("{}{}{}", self.line_end, self.base, self.step.repeat(depth));
        let inner = format!("{outer}{}", self.step);
        format!("{open}{inner}{}{outer}{close}", parts.join(&format!(",{inner}")))
    }
}

/// A JSON string.
pub fn quote(text: &str) -> String {
    // A text has always a JSON form.
    serde_json::to_string(text).unwrap_or_default()
}

fn white_space(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// The indentation of the first line that has one.
fn step(text: &str) -> String {
    let indents = text.lines().filter(|line| !line.trim().is_empty()).map(white_space);
    indents.filter(|indent| !indent.is_empty()).map(str::to_owned).next().unwrap_or_else(|| "  ".to_owned())
}
