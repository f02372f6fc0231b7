//! Names in conditions. Everywhere else Tera itself refuses a name it does not know; in `{% if x %}` it takes it for
//! false, so a misspelt condition would silently drop a part of a file.

use std::collections::HashMap;

use serde_json::Value;
use tera::ast::{Expr, ExprVal, Node};

/// The first name a condition tests that the page does not have.
pub(super) fn unknown_in_condition(nodes: &[Node], page: &Value) -> Option<String> {
    walk(nodes, &Scope { page, names: HashMap::new() })
}

/// What names mean at a place in a template.
#[derive(Clone)]
struct Scope<'a> {
    page: &'a Value,
    /// Loop variables and `set` names; none when the value is not known before rendering.
    names: HashMap<&'a str, Option<&'a Value>>,
}

fn walk<'a>(nodes: &'a [Node], outer: &Scope<'a>) -> Option<String> {
    let mut scope = outer.clone();
    for node in nodes {
        let found = match node {
            Node::Set(_, set) => {
                let value = plain_name(&set.value).and_then(|name| scope.find(name).ok()).flatten();
                scope.names.insert(&set.key, value);
                None
            }
            Node::If(branches, _) => branches
                .conditions
                .iter()
                .find_map(|(_, condition, body)| test(condition, &scope).or_else(|| walk(body, &scope)))
                .or_else(|| branches.otherwise.as_ref().and_then(|(_, body)| walk(body, &scope))),
            Node::Forloop(_, each, _) => {
                let list = plain_name(&each.container).and_then(|name| scope.find(name).ok()).flatten();
                let mut inner = scope.clone();
                // All elements have the same fields, so the first stands for all.
                inner.names.insert(&each.value, list.and_then(|list| list.get(0)));
                inner.names.insert("loop", None);
                if let Some(key) = &each.key {
                    inner.names.insert(key, None);
                }
                walk(&each.body, &inner).or_else(|| each.empty_body.as_ref().and_then(|body| walk(body, &scope)))
            }
            Node::FilterSection(_, section, _) => walk(&section.body, &scope),
            Node::Block(_, block, _) => walk(&block.body, &scope),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The first unknown name that is itself taken for true or false. Operands of `==`, `<` and filters are evaluated, and
/// refused by Tera.
fn test(condition: &Expr, scope: &Scope) -> Option<String> {
    if condition.has_default_filter() {
        return None;
    }
    match &condition.val {
        ExprVal::Ident(name) => scope.find(name).is_err().then(|| name.clone()),
        ExprVal::Logic(logic) => test(&logic.lhs, scope).or_else(|| test(&logic.rhs, scope)),
        _ => None,
    }
}

fn plain_name(expr: &Expr) -> Option<&str> {
    match &expr.val {
        ExprVal::Ident(name) if expr.filters.is_empty() => Some(name),
        _ => None,
    }
}

impl<'a> Scope<'a> {
    /// The value of a dotted name: an error when it is known not to be there, none when only rendering can tell.
    fn find(&self, name: &str) -> Result<Option<&'a Value>, ()> {
        if name.contains('[') {
            return Ok(None);
        }
        let mut parts = name.split('.');
        let first = parts.next().unwrap_or(name);
        let mut value = match self.names.get(first) {
            Some(None) => return Ok(None),
            Some(Some(value)) => value,
            None => self.page.get(first).ok_or(())?,
        };
        for part in parts {
            // What a tier does without is null, and has no parts: `{% if database %}` around it keeps it from being read.
            if value.is_null() {
                return Ok(None);
            }
            value = value.get(part).ok_or(())?;
        }
        Ok(Some(value))
    }
}
