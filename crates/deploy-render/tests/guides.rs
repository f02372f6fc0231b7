//! The systems against the reference extracted from their scaling guides (`../shared/seeds/seed-tiers.yaml`, beside the
//! project). Every number of every tier must be where it belongs in our `system.yaml`; every other number must at least be
//! in the same tier. Skipped, and said so, where the reference is not there.
#![allow(clippy::print_stderr)] // a skipped test says so

mod common;

use std::path::Path;

use common::{SYSTEMS, system};
use deploy_render::SystemSpec;
use serde_json::Value;

/// Keys whose text is code to be read, not figures: their figures stand beside them once more.
const CODE: [&str; 3] = ["_verbatim", "_sql", "files_to_create"];

/// Keys of the reference and of ours that hold the same thing, tier by tier.
const PLACES: [(&str, &str); 9] = [
    ("users", "users"),
    ("timeline", "timeline"),
    ("cost_usd_month", "cost_usd_month.headline"),
    ("usd_month", "cost_usd_month.headline"),
    ("cost_items", "cost_usd_month.items"),
    ("upgrade_trigger", "trigger"),
    ("trigger", "trigger"),
    ("quality_gates", "gates"),
    ("checklist", "gates"),
];

/// Keys of the reference whose entries are ours under `settings`, where the names may have a prefix.
const SETTINGS: [(&str, &str); 6] = [
    ("settings", ""),
    ("manifest_values", ""),
    ("performance", ""),
    ("server", "server_"),
    ("database_prices", ""),
    ("enhanced_caching", ""),
];

/// A system without what is rendered: numbers there are ours, and would hide that one of the guide's is missing.
fn facts(name: &str) -> SystemSpec {
    let mut system = system(name);
    for tier in system.tiers.values_mut() {
        tier.render = None;
    }
    system
}

fn reference() -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/seeds/seed-tiers.yaml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    Some(serde_saphyr::from_str(&text).unwrap())
}

#[test]
fn every_system_and_tier_of_the_guides_is_there_in_order() {
    let Some(reference) = reference() else { return };
    let wanted: Vec<&str> = reference["systems"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(wanted.len(), SYSTEMS.len());
    for name in wanted {
        let order = reference["systems"][name]["tier_order"].as_array().unwrap();
        let ours = system(name);
        assert_eq!(ours.tier_names().collect::<Vec<_>>(), order.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn every_number_of_a_tier_is_where_it_belongs() {
    let Some(reference) = reference() else { return };
    let mut compared = 0;
    for name in SYSTEMS {
        let ours = facts(name);
        for (tier, wanted) in reference["systems"][name]["tiers"].as_object().unwrap() {
            let mut found = serde_json::to_value(&ours.tiers[tier]).unwrap();
            let watches = |alert: &&deploy_render::Alert| alert.tiers.is_empty() || alert.tiers.contains(tier);
            found["alerts"] = ours.alerts.iter().filter(watches).map(|a| serde_json::to_value(a).unwrap()).collect();
            let before = ours.tier_names().take_while(|name| name != tier).last();
            for (key, value) in wanted.as_object().unwrap().iter().filter(|(key, _)| is_figure(key)) {
                let at = format!("{name}/{tier}/{key}");
                compared += match (key.as_str(), before) {
                    // What leads to a tier is what the one before it is outgrown by.
                    ("trigger", Some(before)) => {
                        compare(&at, key, value, &serde_json::to_value(&ours.tiers[before]).unwrap())
                    }
                    _ => compare(&at, key, value, &found),
                };
            }
        }
    }
    assert!(compared > 250, "only {compared} numbers were compared");
}

#[test]
fn every_number_beside_the_tiers_is_somewhere() {
    let Some(reference) = reference() else { return };
    for name in SYSTEMS {
        let ours = numbers(&serde_json::to_value(facts(name)).unwrap());
        for (key, value) in reference["systems"][name].as_object().unwrap() {
            if is_figure(key) && !["source", "tiers", "tier_order", "renders_needed", "support"].contains(&key.as_str())
            {
                assert_all(&format!("{name}/{key}"), &numbers(value), &ours);
            }
        }
    }
}

/// Compares one entry of a tier and says how many numbers it had.
fn compare(at: &str, key: &str, value: &Value, ours: &Value) -> usize {
    let wanted = numbers(value);
    if let Some((_, prefix)) = SETTINGS.iter().find(|(name, _)| *name == key) {
        for (name, value) in value.as_object().unwrap().iter().filter(|(name, _)| is_figure(name)) {
            let setting = setting(&ours["settings"], &format!("{prefix}{name}"));
            assert!(numbers(value).is_empty() || setting.is_some(), "{at}: settings have no `{prefix}{name}`");
            assert_all(&format!("{at}/{name}"), &numbers(value), &setting.map(numbers).unwrap_or_default());
        }
    } else if let Some((_, place)) = PLACES.iter().find(|(name, _)| *name == key) {
        let place = place.split('.').fold(ours, |value, part| &value[part]);
        assert_all(at, &wanted, &numbers(place));
    } else if key == "quality_gates_numeric" {
        for (metric, limit) in value.as_object().unwrap() {
            let gates = ours["gates"].as_array().unwrap();
            let gate = gates.iter().find(|gate| gate["check"]["metric"] == *metric);
            let gate = gate.unwrap_or_else(|| panic!("{at}: no gate checks `{metric}`"));
            let op = limit.as_str().map_or(">=", |text| text.trim_end_matches(|c: char| !"<>=".contains(c)));
            assert_eq!(gate["check"]["op"], op, "{at}/{metric}");
            assert_all(&format!("{at}/{metric}"), &numbers(limit), &numbers(&gate["check"]["value"]));
        }
    } else {
        assert_all(at, &wanted, &numbers(ours));
    }
    wanted.len()
}

/// A setting by name; one that says its unit (`rate_limit_messages_per_minute`) begins with the reference's name.
fn setting<'a>(settings: &'a Value, name: &str) -> Option<&'a Value> {
    let settings = settings.as_object()?;
    settings.get(name).or_else(|| settings.iter().find(|(key, _)| key.starts_with(name)).map(|(_, value)| value))
}

#[track_caller]
fn assert_all(at: &str, wanted: &[f64], found: &[f64]) {
    for number in wanted {
        assert!(found.contains(number), "{at}: the guide's {number} is not among {found:?}");
    }
}

/// What the guide itself says, and not somebody about it, nor code.
fn is_figure(key: &str) -> bool {
    !key.starts_with("x_") && !CODE.iter().any(|end| key.ends_with(end))
}

/// Every number in a value, also in its texts: `2GB` has 2, `1,500` has 1500, `10k` has 10000.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Number(number) => number.as_f64().into_iter().collect(),
        Value::String(text) => numbers_in_text(text),
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| is_figure(key))
            .flat_map(|(key, value)| numbers_in_text(key).into_iter().chain(numbers(value)))
            .collect(),
        Value::Null | Value::Bool(_) => Vec::new(),
    }
}

fn numbers_in_text(text: &str) -> Vec<f64> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let glued = rest[..start].chars().next_back().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        let tail = &rest[start..];
        let end = tail.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(tail.len());
        let digits: String = tail[..end].trim_end_matches(['.', ',']).replace(',', "");
        let mut after = tail[end..].chars();
        let thousands =
            matches!(after.next(), Some('k' | 'K')) && !after.next().is_some_and(|c| c.is_ascii_alphanumeric());
        // A digit in a name (`tier2`, `p95`) is no figure.
        if let (false, Ok(number)) = (glued, digits.parse::<f64>()) {
            found.push(if thousands { number * 1000.0 } else { number });
        }
        rest = &tail[end..];
    }
    found
}

#[test]
fn reads_numbers_as_people_do() {
    let check = |text: &str, expect: &[f64]| assert_eq!(numbers_in_text(text), expect, "{text}");
    check("$800-1.2k; $800-1,200/month", &[800.0, 1200.0, 800.0, 1200.0]);
    check("8GB+, 99.95%", &[8.0, 99.95]);
    check("Tier 2 (tier2, p95)", &[2.0]);
    check("6 <= hour <= 22.", &[6.0, 22.0]);
    check("10KB", &[10.0]);
}
