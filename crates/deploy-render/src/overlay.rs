//! Small changes a user makes to rendered files: a folder with a partial file for each file that is to differ.
//!
//! `overlays/render.yaml` changes `render.yaml`. A mapping changes the keys it has and leaves the others; `null` takes a
//! key away; a list whose entries have a `name` or `key` changes the entries of that name (`$patch: delete` takes one
//! away) and appends the rest; everything else replaces what is there. In a file of several Kubernetes objects each
//! document says by `kind` and `metadata.name` which one it changes. A key's order is kept; comments are not.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::set::RenderedSet;
use crate::yaml;

/// An overlay that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("overlay {}{}: {message}", file.display(), if at.is_empty() { String::new() } else { format!(" at {at}") })]
pub struct OverlayError {
    /// Its file.
    pub file: PathBuf,
    /// Where in it; empty when all of it is meant.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

/// A document that keeps the order of its keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
enum Node {
    Map(IndexMap<String, Node>),
    List(Vec<Node>),
    Scalar(Value),
}

/// Where in an overlay, and what is wrong there.
type Fault = (String, String);

/// Changes the files of a set by the overlays in `dir`.
///
/// # Errors
/// When a file can't be read, changes no file of the set, or says something that changes nothing.
pub(crate) fn apply(set: &mut RenderedSet, dir: &Path) -> Result<(), OverlayError> {
    for file in files_below(dir)? {
        let fault = |(at, message): Fault| OverlayError { file: file.clone(), at, message };
        let told = |message: String| fault((String::new(), message));
        let path = file.strip_prefix(dir).unwrap_or(&file).to_string_lossy().replace('\\', "/");
        let overlay = std::fs::read_to_string(&file).map_err(|error| told(format!("it can't be read: {error}")))?;
        let rendered = set.get(&path).and_then(|bytes| std::str::from_utf8(bytes).ok()).filter(|_| is_document(&path));
        let Some(rendered) = rendered else {
            let known: Vec<&str> = set.files().map(|(path, _)| path).filter(|path| is_document(path)).collect();
            return Err(told(format!("this tier has no file `{path}` to change (it has {})", known.join(", "))));
        };
        let changed = change(&path, rendered, &overlay).map_err(fault)?;
        set.insert(&path, changed).map_err(|error| told(error.to_string()))?;
    }
    Ok(())
}

/// Whether a file has keys that can be changed one by one.
fn is_document(path: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| path.ends_with(ending))
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>, OverlayError> {
    let fault = |error: std::io::Error| OverlayError {
        file: dir.to_owned(),
        at: String::new(),
        message: format!("the folder can't be read: {error}"),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.is_dir() { files.extend(files_below(&path)?) } else { files.push(path) }
    }
    files.sort();
    Ok(files)
}

/// A rendered file's text with an overlay's changes.
fn change(path: &str, rendered: &str, overlay: &str) -> Result<String, Fault> {
    let mut documents = read(rendered).map_err(|error| (String::new(), format!("`{path}` is no YAML: {error}")))?;
    let overlays = read(overlay).map_err(|error| (String::new(), format!("it is no YAML: {error}")))?;
    if overlays.is_empty() {
        return Err((String::new(), "it is empty".to_owned()));
    }
    for overlay in overlays {
        let (document, at) = find(&mut documents, &overlay)?;
        let before = document.clone();
        merge(document, overlay, &at)?;
        // Without its comments the file would differ, and nobody could say why.
        if *document == before {
            return Err((at, format!("it changes nothing: `{path}` is like that already")));
        }
    }
    write(path, &documents).map_err(|error| (String::new(), format!("the result can't be written: {error}")))
}

fn read(text: &str) -> Result<Vec<Node>, String> {
    let documents: Vec<Node> = serde_saphyr::from_multiple(text).map_err(|error| yaml::located(&error))?;
    Ok(documents.into_iter().filter(|document| *document != Node::Scalar(Value::Null)).collect())
}

fn write(path: &str, documents: &[Node]) -> Result<String, String> {
    if path.ends_with(".json") {
        let [document] = documents else { return Err("JSON is one document".to_owned()) };
        return serde_json::to_string_pretty(document).map(|text| text + "\n").map_err(|error| error.to_string());
    }
    let mut text = format!("# Changed by an overlay of {path}.\n");
    for document in documents {
        if documents.len() > 1 {
            text.push_str("---\n");
        }
        text.push_str(&yaml::text(document).map_err(|error| error.to_string())?);
    }
    Ok(text)
}

/// The document an overlay is for: the only one, or the object of that kind and name.
fn find<'a>(documents: &'a mut [Node], overlay: &Node) -> Result<(&'a mut Node, String), Fault> {
    let identity = |node: &Node| Some((node.text("kind")?, node.get("metadata")?.text("name")?));
    let names: Vec<String> =
        documents.iter().filter_map(identity).map(|(kind, name)| format!("{kind} {name}")).collect();
    if names.is_empty() && documents.len() == 1 {
        return Ok((&mut documents[0], String::new()));
    }
    let Some(wanted) = identity(overlay) else {
        let message = "it does not say by `kind` and `metadata.name` which object it changes".to_owned();
        return Err((String::new(), message));
    };
    let at = format!("{} {}", wanted.0, wanted.1);
    match documents.iter_mut().find(|document| identity(document).as_ref() == Some(&wanted)) {
        Some(found) => Ok((found, at)),
        None => Err((at, format!("there is no such object (there are {})", names.join(", ")))),
    }
}

/// By hand, because the derived one looks at keys before it knows that they are texts: `on`, which every workflow has, is
/// then a boolean.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a document")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<Node, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(entries)).map(Node::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Node, A::Error> {
        IndexMap::deserialize(MapAccessDeserializer::new(entries)).map(Node::Map)
    }
}

impl Node {
    fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(map) => map.get(key),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Self::Scalar(Value::String(text)) => Some(text.clone()),
            _ => None,
        }
    }

    /// What tells the entries of a list apart.
    fn name(&self) -> Option<String> {
        self.text("name").or_else(|| self.text("key"))
    }
}

fn merge(base: &mut Node, overlay: Node, at: &str) -> Result<(), Fault> {
    match (base, overlay) {
        (Node::Map(base), Node::Map(overlay)) => {
            for (key, value) in overlay {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                match (base.get_mut(&key), value) {
                    // The order of the others stays.
                    (Some(_), Node::Scalar(Value::Null)) => drop(base.shift_remove(&key)),
                    (Some(there), value) => merge(there, value, &at)?,
                    (None, value) => {
                        base.insert(key, added(value, &at)?);
                    }
                }
            }
            Ok(())
        }
        (Node::List(base), Node::List(overlay))
            if base.iter().chain(&overlay).all(|entry| entry.name().is_some()) && !overlay.is_empty() =>
        {
            for entry in overlay {
                merge_entry(base, entry, at)?;
            }
            Ok(())
        }
        (base, overlay) => {
            *base = added(overlay, at)?;
            Ok(())
        }
    }
}

fn merge_entry(base: &mut Vec<Node>, entry: Node, at: &str) -> Result<(), Fault> {
    let Some(name) = entry.name() else { return Ok(()) }; // the caller saw to it
    let at = format!("{at}[{name}]");
    let place = base.iter().position(|there| there.name().as_ref() == Some(&name));
    match (place, entry.text("$patch").as_deref()) {
        (Some(place), Some("delete")) => drop(base.remove(place)),
        (None, Some("delete")) => return Err((at, "there is nothing to take away".to_owned())),
        (_, Some(other)) => return Err((at, format!("`$patch: {other}` means nothing here; only `delete` does"))),
        (Some(place), None) => merge(&mut base[place], entry, &at)?,
        (None, None) => base.push(added(entry, &at)?),
    }
    Ok(())
}

/// What is new has nothing to take away.
fn added(node: Node, at: &str) -> Result<Node, Fault> {
    match &node {
        Node::Scalar(Value::Null) => return Err((at.to_owned(), "there is nothing to take away".to_owned())),
        Node::Scalar(_) => {}
        Node::List(entries) => {
            for (i, entry) in entries.iter().enumerate() {
                added(entry.clone(), &format!("{at}[{i}]"))?;
            }
        }
        Node::Map(map) => {
            for (key, value) in map {
                let at = format!("{at}.{key}");
                if key == "$patch" {
                    return Err((at, "there is nothing to take away".to_owned()));
                }
                added(value.clone(), &at)?;
            }
        }
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rendered: &str, overlay: &str, expect: &str) {
        assert_eq!(
            change("x.yaml", rendered, overlay).unwrap(),
            format!("# Changed by an overlay of x.yaml.\n{expect}")
        );
    }

    #[track_caller]
    fn refuses(rendered: &str, overlay: &str, at: &str, expect: &str) {
        let (place, message) = change("x.yaml", rendered, overlay).unwrap_err();
        assert_eq!(place, at);
        assert!(message.contains(expect), "{message}");
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        check("b: 1\na: {d: \"1\", c: x}\n", "a: {c: 2}\n", "b: 1\na:\n  d: \"1\"\n  c: 2\n");
        check("b: \"y\"\na: \"1.0\"\n", "a: \"no\"\n", "b: \"y\"\na: \"no\"\n");
        check("b: 1\na: 2\nc: 3\n", "a: null\n", "b: 1\nc: 3\n");
        check("a: [1, 2]\n", "a: [3]\n", "a:\n- 3\n");
        let services = "s:\n- name: api\n  plan: a\n- name: web\n  plan: b\n";
        check(services, "s: [{name: web, plan: c}]\n", &services.replace("plan: b", "plan: c"));
        check(services, "s: [{name: api, $patch: delete}]\n", "s:\n- name: web\n  plan: b\n");
        check(services, "s: [{name: new, plan: d}]\n", &format!("{services}- name: new\n  plan: d\n"));
        check("e:\n- key: A\n  value: b\n", "e: [{key: A, value: c}]\n", "e:\n- key: A\n  value: c\n");
    }

    #[test]
    fn one_of_several_objects_changes() {
        let objects = "---\nkind: A\nmetadata:\n  name: x\nspec: 1\n---\nkind: B\nmetadata:\n  name: x\nspec: 1\n";
        let overlay = "kind: B\nmetadata: {name: x}\nspec: 2\n";
        check(
            objects,
            overlay,
            &objects.replace("B\nmetadata:\n  name: x\nspec: 1", "B\nmetadata:\n  name: x\nspec: 2"),
        );
        refuses(objects, "spec: 2\n", "", "does not say by `kind`");
        refuses(objects, "kind: C\nmetadata: {name: x}\n", "C x", "no such object (there are A x, B x)");
        refuses(objects, "kind: B\nmetadata: {name: x}\nnothing: null\n", "B x.nothing", "nothing to take away");
    }

    #[test]
    fn what_changes_nothing_is_refused() {
        refuses("a: 1\n", "", "", "empty");
        refuses("a: 1\n", "a: [\n", "", "no YAML");
        refuses("a: 1\n", "b: null\n", "b", "nothing to take away");
        refuses("a: 1\n", "b: {c: null}\n", "b.c", "nothing to take away");
        refuses("a: [{name: api}]\n", "a: [{name: web, $patch: delete}]\n", "a[web]", "nothing to take away");
        refuses("a: [{name: api}]\n", "a: [{name: api, $patch: replace}]\n", "a[api]", "means nothing");
        refuses("a: [1]\n", "a: [{name: api, $patch: delete}]\n", "a[0].$patch", "nothing to take away");
        refuses("a: 1\n", "a: 1\n", "", "changes nothing");
        refuses("a: [{name: api, b: 1}]\n", "a: [{name: api, b: 1}]\n", "", "changes nothing");
        let object = "kind: A\nmetadata: {name: x}\n";
        refuses(&format!("---\n{object}---\nkind: B\n"), object, "A x", "changes nothing");
    }

    #[test]
    fn a_key_is_a_text() {
        check("on:\n  push: 1\n\"y\": 1\n1: 2\n", "on: {push: 2}\n", "\"on\":\n  push: 2\n\"y\": 1\n\"1\": 2\n");
    }

    /// An overlay may change any of them, and must change nothing else in it.
    #[test]
    fn every_rendered_document_comes_back_as_it_was() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let mut read_back = 0;
        for file in files_below(&golden).unwrap().into_iter().filter(|file| is_document(&file.to_string_lossy())) {
            let text = std::fs::read_to_string(&file).unwrap();
            let told = |error: String| -> String { panic!("{}: {error}", file.display()) };
            let written = read(&text).and_then(|documents| write(&file.to_string_lossy(), &documents));
            let written = written.unwrap_or_else(told);
            assert_eq!(yaml::documents(&written), yaml::documents(&text), "{}", file.display());
            read_back += 1;
        }
        assert!(read_back > 200, "only {read_back} files");
    }

    #[test]
    fn json_stays_json() {
        assert_eq!(change("x.json", "{\"b\": 1, \"a\": 2}", "a: 3\n").unwrap(), "{\n  \"b\": 1,\n  \"a\": 3\n}\n");
    }
}
