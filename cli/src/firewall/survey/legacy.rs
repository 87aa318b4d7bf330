//! What `iptables-legacy -S` lists (iptables-extensions(8)), as `nft -j` would
//! list it: so that one walk is for both. A rule's number in its chain stands for
//! the handle.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `rules` as the JSON of `nft`.
pub(super) fn listed(rules: &str) -> Value {
    let lines: Vec<Vec<String>> = rules.lines().map(words).collect();
    let lines: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| line.iter().map(String::as_str).collect())
        .collect();
    let own = |line: &Vec<&str>| matches!(line.as_slice(), ["-N", ..]);
    let own: Vec<&str> = lines
        .iter()
        .filter(|line| own(line))
        .filter_map(|line| line.get(1).copied())
        .collect();
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    let mut objects = Vec::new();
    for line in &lines {
        match line.as_slice() {
            ["-P", name, policy, ..] => objects.push(json!({ "chain": {
                "family": "ip", "table": "filter", "name": name,
                "hook": name.to_lowercase(), "policy": policy.to_lowercase(),
            } })),
            ["-N", name] => objects.push(json!({ "chain": {
                "family": "ip", "table": "filter", "name": name,
            } })),
            ["-A", chain, rule @ ..] => {
                let number = numbers.entry(chain).or_default();
                *number += 1;
                objects.push(json!({ "rule": {
                    "family": "ip", "table": "filter", "chain": chain, "handle": *number,
                    "expr": expression(rule, &own),
                } }));
            }
            _ => {}
        }
    }
    json!({ "nftables": objects })
}

/// What the `words` of a rule behind its chain say; `own` are the chains that
/// one can lead to.
fn expression(words: &[&str], own: &[&str]) -> Vec<Value> {
    let mut expression = Vec::new();
    let mut words = words.iter().copied();
    let mut is_not = false;
    while let Some(word) = words.next() {
        let op = if is_not { "!=" } else { "==" };
        match word {
            "!" => {}
            "-i" | "-o" => {
                let key = if word == "-i" { "iifname" } else { "oifname" };
                let name = words.next().unwrap_or_default();
                // A pattern has another sign here.
                let name = match name.strip_suffix('+') {
                    Some(start) => format!("{start}*"),
                    None => name.to_owned(),
                };
                expression.push(json!({ "match": {
                    "op": op, "left": { "meta": { "key": key } }, "right": name,
                } }));
            }
            "--ctstate" | "--state" => {
                let states = words.next().unwrap_or_default().to_lowercase();
                expression.push(json!({ "match": {
                    "op": op, "left": { "ct": { "key": "state" } },
                    "right": states.split(',').collect::<Vec<_>>(),
                } }));
            }
            "-m" => match words.next() {
                Some("comment" | "conntrack" | "state") => {}
                name => expression.push(json!({ "xt": { "type": "match", "name": name } })),
            },
            "--comment" => drop(words.next()),
            "-j" | "-g" => {
                // What follows is about the target.
                let target = words.next().unwrap_or_default();
                expression.push(verdict(word, target, own));
                break;
            }
            // Addresses, protocols, and what belongs to a match.
            _ => expression.push(json!({ "xt": { "type": "match", "name": word } })),
        }
        is_not = word == "!";
    }
    expression
}

fn verdict(word: &str, target: &str, own: &[&str]) -> Value {
    match target {
        "ACCEPT" | "DROP" | "REJECT" | "RETURN" => json!({ target.to_lowercase(): null }),
        chain if own.contains(&chain) => {
            let kind = if word == "-g" { "goto" } else { "jump" };
            json!({ kind: { "target": chain } })
        }
        name => json!({ "xt": { "type": "target", "name": name } }),
    }
}

/// The words of a line; one with spaces stands in quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            letter => {
                let letter = if letter == '\\' {
                    letters.next()
                } else {
                    Some(letter)
                };
                if let Some(word) = words.last_mut() {
                    word.extend(letter);
                }
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rule_is_what_nft_would_list() {
        let rules = "-P FORWARD DROP\n-N GUESTS\n\
            -A FORWARD -m comment --comment \"not -j \\\"this\\\"\" -j GUESTS\n\
            -A FORWARD ! -i vnet+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
            -A FORWARD -s 10.0.0.0/8 -g GUESTS\n\
            -A GUESTS -o eth0 -j REJECT --reject-with icmp-port-unreachable\n\
            -A GUESTS -j LOG --log-prefix \"a b\"\n";
        let listed = listed(rules);
        let objects = listed["nftables"].as_array().unwrap();
        assert_eq!(objects[0]["chain"]["hook"], "forward");
        assert_eq!(objects[0]["chain"]["policy"], "drop");
        let rule = |at: usize| objects[at]["rule"]["expr"].to_string();
        assert_eq!(rule(2), r#"[{"jump":{"target":"GUESTS"}}]"#);
        let expected = json!([
            { "match": { "op": "!=", "left": { "meta": { "key": "iifname" } }, "right": "vnet*" } },
            { "match": { "op": "==", "left": { "ct": { "key": "state" } },
                         "right": ["related", "established"] } },
            { "accept": null },
        ]);
        assert_eq!(objects[3]["rule"]["expr"], expected);
        assert!(rule(4).contains(r#""type":"match""#) && rule(4).contains("goto"));
        assert!(rule(5).ends_with(r#"{"reject":null}]"#));
        assert_eq!(rule(6), r#"[{"xt":{"name":"LOG","type":"target"}}]"#);
        let handles = [2, 3, 4, 5].map(|at: usize| objects[at]["rule"]["handle"].clone());
        assert_eq!(handles, [1, 2, 3, 1]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "([-A-Za-z!\\\\\" ]{0,12}\n?){0,9}") {
            let _ = listed(&text);
        }
    }
}
