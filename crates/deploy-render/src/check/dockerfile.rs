//! `Dockerfile`: pinned images, a numeric user that is not root, programs that get signals, a health check a stage.

use std::collections::HashMap;

use super::{Report, unpinned};

/// What a stage ends with, what it takes from the one it is built on included.
#[derive(Debug, Clone, Default)]
struct Stage {
    user: Option<String>,
    health: bool,
    starts: bool,
    line: usize,
    name: String,
    base: String,
}

pub(super) fn check(text: &str, report: &mut Report) {
    let mut stages: Vec<Stage> = Vec::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for (line, instruction, rest) in instructions(text) {
        let at = format!("line {line}");
        if instruction == "FROM" {
            let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            let base = words.first().copied().unwrap_or("");
            let mut stage = match by_name.get(base) {
                Some(&index) => stages[index].clone(),
                None => {
                    if let Some(message) = unpinned(base).filter(|_| base != "scratch") {
                        report.add(at, message, "pin a version or a digest");
                    }
                    Stage::default()
                }
            };
            stage.line = line;
            stage.name = words.get(2).map_or_else(|| stages.len().to_string(), |name| (*name).to_owned());
            stage.base = base.to_owned();
            by_name.insert(stage.name.clone(), stages.len());
            stages.push(stage);
            continue;
        }
        let Some(stage) = stages.last_mut() else { continue };
        match instruction.as_str() {
            "USER" => stage.user = Some(rest.clone()),
            "HEALTHCHECK" => stage.health = !rest.starts_with("NONE"),
            "CMD" | "ENTRYPOINT" => {
                stage.starts = stage.starts || instruction == "CMD";
                if serde_json::from_str::<Vec<String>>(&rest).is_err() {
                    report.add(
                        at,
                        format!("{instruction} runs through a shell, which keeps signals to itself"),
                        "write it as a JSON list",
                    );
                }
            }
            "ENV" | "ARG" => check_value(&at, &rest, report),
            "ADD" if rest.contains("://") => {
                report.add(at, "what ADD fetches is not checked", "use --checksum, or COPY")
            }
            _ => {}
        }
    }
    if stages.is_empty() {
        report.add("", "it has no FROM", "correct the template");
    }
    // A stage others are built on is no image of its own; nor is one files are only copied from.
    let is_base = |stage: &Stage| {
        stages.iter().any(|other| other.base == stage.name) || text.contains(&format!("--from={}", stage.name))
    };
    for stage in stages.iter().filter(|stage| !is_base(stage)) {
        check_stage(stage, report);
    }
}

fn check_stage(stage: &Stage, report: &mut Report) {
    let at = format!("line {}, stage {}", stage.line, stage.name);
    let user = stage.user.as_deref().unwrap_or("").split(':').next().unwrap_or("");
    match user.parse::<u32>() {
        Ok(0) => report.add(&at, "it runs as root", "add USER 10001:10001"),
        Ok(_) => {}
        Err(_) => {
            report.add(&at, "its user is no number, so nobody can tell that it is not root", "add USER 10001:10001")
        }
    }
    if !stage.health {
        report.add(&at, "it has no HEALTHCHECK", "add one");
    }
    if !stage.starts {
        report.add(&at, "it has no CMD", "say what it starts");
    }
}

fn check_value(at: &str, rest: &str, report: &mut Report) {
    for word in rest.split_whitespace() {
        if let Some((name, value)) = word.split_once('=')
            && let Some(why) = k8s_templates::looks_secret(name, value.trim_matches('"'))
        {
            report.add(at, format!("`{name}` {why}"), "pass it when the container starts");
        }
    }
}

/// Line number, instruction and its words; continued lines are one, comments are none.
fn instructions(text: &str) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('#') || (line.is_empty() && open.is_none()) {
            continue;
        }
        let (start, mut whole) = open.take().unwrap_or((i + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(part) => {
                whole.push_str(part);
                open = Some((start, whole));
            }
            None => {
                whole.push_str(line);
                push_instruction(&mut found, start, &whole);
            }
        }
    }
    if let Some((start, whole)) = open {
        push_instruction(&mut found, start, &whole);
    }
    found
}

fn push_instruction(found: &mut Vec<(usize, String, String)>, line: usize, whole: &str) {
    let (instruction, rest) = whole.split_once(char::is_whitespace).unwrap_or((whole, ""));
    found.push((line, instruction.to_ascii_uppercase(), rest.trim().to_owned()));
}
