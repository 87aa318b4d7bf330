//! The pages, against the command line, the configuration's parser and man(1).

use super::*;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use vmlan::config::{Config, Loaded, NetworkName, PortSettings};

const TOML_5: &str = include_str!("../man/vmlan.toml.5");
const DEFAULT: &str = include_str!("../etc/default.toml");

/// A word that is near to no key.
const UNKNOWN: &str = "qqqqqqqqqqqqqqqqqqqqqqqq";

fn pages() -> Vec<man::Page> {
    man::pages(Cli::command(), "2026-11-24")
}

#[test]
fn every_command_has_a_page_with_all_sections() {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let pages = pages();
    assert_eq!(pages.len(), man::commands(&command).len());
    for page in &pages {
        let text = String::from_utf8_lossy(&page.text);
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "EXIT STATUS",
            "FILES",
            "EXAMPLES",
            "SEE ALSO",
        ] {
            let heading = |line: &str| {
                line.strip_prefix(".SH ")
                    .is_some_and(|s| s.trim_matches('"') == section)
            };
            assert!(
                text.lines().any(heading),
                "{} has no {section}:\n{text}",
                page.file
            );
        }
    }
}

#[test]
fn every_page_has_an_example_and_every_example_is_a_command_line() {
    let pages: BTreeSet<String> = pages().into_iter().map(|page| page.file).collect();
    let named: BTreeSet<String> = examples::EXAMPLES
        .iter()
        .map(|(name, _)| format!("{name}.1"))
        .collect();
    assert_eq!(pages, named);
    for (page, examples) in examples::EXAMPLES {
        assert!(!examples.is_empty(), "{page}");
        for (_, line) in *examples {
            if let Some(line) = line.strip_prefix("vmlan ") {
                let words = ["vmlan"].into_iter().chain(line.split(' '));
                assert!(Cli::try_parse_from(words).is_ok(), "{line}");
            }
        }
    }
}

/// What the parser says of `text`; empty if nothing.
fn said(text: &str) -> String {
    Loaded::parse(Path::new("x.toml"), text, None)
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

/// The keys that the parser takes in the table that `header` begins; none if it
/// takes no such table, [`None`] within if any key is taken.
fn known(header: &str) -> Option<Vec<String>> {
    let said = said(&format!("{header}\n{UNKNOWN} = 1\n"));
    if !said.contains(&format!("unknown key `{UNKNOWN}`")) {
        return None;
    }
    let (_, keys) = said.split_once("known here: ")?;
    Some(
        keys.lines()
            .next()?
            .split(", ")
            .map(str::to_owned)
            .collect(),
    )
}

/// All tables that the parser takes below `path`, each with its keys; keys that
/// are tables are left out.
fn tables(path: &str, header: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut keys = known(header).unwrap_or_else(|| panic!("no keys in {header:?}"));
    let mut below = Vec::new();
    keys.retain(|key| {
        let inner = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        for header in [format!("[{inner}]"), format!("[[{inner}]]")] {
            if known(&header).is_some() {
                below.extend(tables(&inner, &header));
                return false;
            }
        }
        true
    });
    let own = (header.to_owned(), keys.into_iter().collect());
    std::iter::once(own).chain(below).collect()
}

/// The keys of each table by vmlan.toml(5).
fn documented() -> Vec<(String, BTreeSet<String>)> {
    let (_, keys) = TOML_5.split_once(".SH KEYS\n").unwrap();
    let (keys, _) = keys.split_once(".SH ").unwrap();
    let mut tables: Vec<(String, BTreeSet<String>)> = Vec::new();
    let mut lines = keys.lines();
    while let Some(line) = lines.next() {
        if let Some(header) = line.strip_prefix(".SS ") {
            let header = if header == "Top level" { "" } else { header };
            tables.push((header.to_owned(), BTreeSet::new()));
        } else if line == ".TP" {
            let term = lines.next().unwrap();
            let key = term
                .strip_prefix("\\fB")
                .and_then(|rest| rest.split_once("\\fR"));
            let (key, _) = key.unwrap_or_else(|| panic!("{term}"));
            let fresh = tables.last_mut().unwrap().1.insert(key.replace("\\-", "-"));
            assert!(fresh, "{key} stands twice");
        }
    }
    tables
}

#[test]
fn the_page_of_the_configuration_has_each_key_of_the_parser_and_no_other() {
    let mut documented = documented();
    // Its keys are the names of options.
    documented.retain(|(header, _)| header != "[dhcp.options]");
    let mut taken = tables("", "");
    for (header, keys) in &mut taken {
        keys.remove("options");
        if header == "[[port]]" {
            // Some are known by name, but not in this version.
            keys.retain(|key| key == "name" || PortSettings::takes(key));
        }
    }
    documented.sort();
    taken.sort();
    assert_eq!(documented, taken);
}

fn default_config(text: &str) -> Config {
    let network: NetworkName = "default".parse().unwrap();
    let loaded = Loaded::parse(Path::new("default.toml"), text, Some(&network)).unwrap();
    assert!(loaded.warnings.is_empty());
    loaded.config
}

#[test]
fn the_packages_configuration_is_the_built_in_one() {
    let explained = |config: &Config| vmlan::config::explain::Explained(config).to_string();
    let built_in = Config::built_in(NetworkName::default());
    assert_eq!(default_config(DEFAULT), built_in);

    // What is commented out is what holds anyway.
    let taken = DEFAULT
        .lines()
        .skip(5)
        .map(|line| line.strip_prefix("# ").unwrap_or(line));
    let taken = taken.collect::<Vec<_>>().join("\n");
    assert!(taken.contains("\n[switch]\n"), "{taken}");
    assert_eq!(explained(&default_config(&taken)), explained(&built_in));
}

/// What `program` says of the text that it reads from stdin.
fn output(program: &str, arguments: &[&str], text: &[u8]) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/install.sh installs it"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn groff_and_mandoc_have_nothing_to_say_of_the_pages() {
    let written = ["vmlan.toml.5", "vmlan-bridge-helper.8"].map(|file| man::Page {
        file: file.to_owned(),
        text: fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(file)).unwrap(),
    });
    for page in pages().into_iter().chain(written) {
        let groff = output(
            "groff",
            &["-K", "utf8", "-man", "-Tutf8", "-ww", "-z"],
            &page.text,
        );
        assert_eq!(groff, "", "{}", page.file);
        let mandoc = output("mandoc", &["-T", "lint", "-W", "warning"], &page.text);
        assert_eq!(mandoc, "", "{}", page.file);
    }
}

/// What bash offers for the last of `words`, by the script that is packaged.
fn completed(words: &[&str]) -> Vec<String> {
    let mut script = Vec::new();
    clap_complete::generate(Shell::Bash, &mut Cli::command(), "vmlan", &mut script);
    let line = words.join(" ");
    let last = words.len() - 1;
    let ask = format!(
        "\nCOMP_WORDS=({line}); [ {last} -lt ${{#COMP_WORDS[@]}} ] || COMP_WORDS+=('')\n\
         COMP_CWORD={last}; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}\n\
         complete -p vmlan >/dev/null || exit 1\n\
         _vmlan vmlan \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    );
    script.extend(ask.into_bytes());
    let said = output("bash", &["--norc"], &script);
    said.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(completed(&["vmlan", "po"]), ["ports", "port"]);
    assert_eq!(completed(&["vmlan", "port", "a"]), ["add"]);
    assert_eq!(completed(&["vmlan", "lease", "im"]), ["import"]);
    assert_eq!(completed(&["vmlan", "status", "--js"]), ["--json"]);
    let kinds = completed(&["vmlan", "completions", "z"]);
    assert_eq!(kinds, ["zsh"]);
}

#[test]
fn the_shells_take_their_scripts() {
    for (shell, program) in [
        (Shell::Bash, "bash"),
        (Shell::Zsh, "zsh"),
        (Shell::Fish, "fish"),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "vmlan", &mut script);
        assert_eq!(output(program, &["-n"], &script), "", "{program}");
    }
}
