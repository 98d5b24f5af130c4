//! completions/ and man/ are generated from the tree of commands and kept in the
//! repository. This fails when they differ; `OM_BLESS=1 cargo test --test generated`
//! writes them.

#![allow(clippy::unwrap_used)]

use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, line_break, roman};
use omega::cli::{app, completion::Shell};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Compares the folder with what it should hold, or makes it so.
fn compare(folder: &str, wanted: &BTreeMap<String, String>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    if std::env::var_os("OM_BLESS").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in wanted {
            fs::write(folder.join(name), text).unwrap();
        }
        return;
    }
    let found: BTreeMap<String, String> = match fs::read_dir(&folder) {
        Ok(entries) => entries.map(|entry| read(&entry.unwrap().path())).collect(),
        Err(_) => BTreeMap::new(),
    };
    let names = wanted.keys().chain(found.keys());
    let mut different: Vec<&String> = names
        .filter(|name| found.get(*name) != wanted.get(*name))
        .collect();
    different.dedup();
    assert!(
        different.is_empty(),
        "{} is out of date: {different:?}; write it with: OM_BLESS=1 cargo test --test generated",
        folder.display()
    );
}

fn read(path: &Path) -> (String, String) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    (name, fs::read_to_string(path).unwrap())
}

#[test]
fn completions_are_up_to_date() {
    let scripts = [
        ("om.bash", Shell::Bash),
        ("_om", Shell::Zsh),
        ("om.fish", Shell::Fish),
    ];
    let scripts = scripts.map(|(name, shell)| (name.to_owned(), shell.script().to_owned()));
    compare("completions", &BTreeMap::from(scripts));
}

#[test]
fn man_pages_are_up_to_date() {
    let mut command = app::command();
    command.build();
    let mut pages = BTreeMap::new();
    page(&command, "om", true, &mut pages);
    compare("man", &pages);
}

/// Renders the page of a command and of all below it. Global options stand in om(1) only.
fn page(command: &clap::Command, path: &str, is_root: bool, pages: &mut BTreeMap<String, String>) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        page(sub, &format!("{path}-{}", sub.get_name()), false, pages);
    }
    let own = command.clone().mut_args(|arg| {
        let hidden = arg.is_hide_set() || (!is_root && arg.is_global_set());
        arg.hide(hidden).hide_short_help(false)
    });
    let man = Man::new(own.clone())
        .title(path.to_uppercase())
        .source(omega::cli::version());
    let mut text = Vec::new();
    man.render_title(&mut text).unwrap();
    man.render_name_section(&mut text).unwrap();
    man.render_synopsis_section(&mut text).unwrap();
    man.render_description_section(&mut text).unwrap();
    if own.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(&mut text).unwrap();
    }
    if own.has_subcommands() {
        man.render_subcommands_section(&mut text).unwrap();
    }
    let mut roff = Roff::new();
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (notes, examples) = help
        .split_once("Examples:\n")
        .unwrap_or((help.as_str(), ""));
    for (heading, body) in [("NOTES", notes), ("EXAMPLES", examples)] {
        if !body.trim().is_empty() {
            let lines = body.trim_end().lines();
            let lines: Vec<Inline> = lines.flat_map(|line| [roman(line), line_break()]).collect();
            roff.control("SH", [heading])
                .control("nf", [])
                .text(lines)
                .control("fi", []);
        }
    }
    if !is_root {
        roff.control("SH", ["SEE ALSO"])
            .text([roman("om(1), for the global options")]);
    }
    roff.to_writer(&mut text).unwrap();
    pages.insert(format!("{path}.1"), String::from_utf8(text).unwrap());
}
