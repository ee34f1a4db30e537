//! Which file, and where in it the servers are.

use std::path::{Path, PathBuf};

/// The scopes of Claude Code.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The servers of all projects
    User,
    /// The servers that a project shares
    Project,
    /// One's own servers in a project
    Local,
}

/// Where servers are configured.
#[derive(Debug)]
pub struct Place {
    pub file: PathBuf,
    /// The folders whose entry under `projects` counts, the nearest first; empty: the servers of the whole file.
    pub projects: Vec<String>,
}

impl Place {
    /// What the command line means. An error says what is missing.
    pub fn find(file: Option<&Path>, scope: Option<Scope>) -> Result<Self, String> {
        let file = match (file, scope) {
            (Some(file), _) => file.to_owned(),
            (None, None | Some(Scope::Project)) => PathBuf::from(".mcp.json"),
            (None, Some(Scope::User | Scope::Local)) => state_file()?,
        };
        let projects = if scope == Some(Scope::Local) { folders()? } else { Vec::new() };
        Ok(Self { file, projects })
    }
}

/// The file in which Claude Code keeps a user's servers.
fn state_file() -> Result<PathBuf, String> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("CLAUDE_CONFIG_DIR").or_else(|| set("HOME")).or_else(|| set("USERPROFILE"));
    let folder = folder.ok_or("neither CLAUDE_CONFIG_DIR nor HOME is set: name the file")?;
    Ok(folder.join(".claude.json"))
}

/// This folder and those above it, with and without symbolic links resolved.
fn folders() -> Result<Vec<String>, String> {
    let here = std::env::current_dir().map_err(|error| format!("this folder cannot be found: {error}"))?;
    let logical = std::env::var_os("PWD")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute() && path.canonicalize().ok() == here.canonicalize().ok());
    let mut folders = Vec::new();
    for start in logical.iter().chain([&here]) {
        folders.extend(start.ancestors().map(|folder| folder.display().to_string()));
    }
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.len()));
    folders.dedup();
    Ok(folders)
}
