//! Templates of the user's own: they replace ours one by one, and their mistakes are told with file and line.

mod common;

use std::fs;
use std::path::Path;

use common::{options, oviya};
use deploy_render::{DatabaseTarget, RenderOptions, RenderedSet, built_in_templates, render};

fn render_with(template: &str, text: &str) -> Result<RenderedSet, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(template);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    let options = RenderOptions {
        database: DatabaseTarget::Target,
        templates_dir: Some(dir.path().to_owned()),
        overlays_dir: None,
    };
    render(&oviya(), "tier2", &options)
        .map_err(|error| error.to_string().replace(&dir.path().display().to_string(), "DIR"))
}

#[test]
fn one_replaces_only_its_own_file() {
    let ours = render(&oviya(), "tier2", &options(DatabaseTarget::Target)).unwrap();
    let set = render_with("docker/redis.conf.tera", "port {{ services.0.port }}\n").unwrap();
    assert_eq!(set.get("docker/redis.conf"), Some("port 3000\n".as_bytes()));
    let different: Vec<&str> =
        set.files().filter(|(path, bytes)| ours.get(path) != Some(bytes)).map(|(path, _)| path).collect();
    assert_eq!(different, ["docker/redis.conf"]);
}

#[test]
fn a_mistake_is_told_with_file_and_line() {
    let check = |text: &str, expect: &str| {
        let error = render_with("docker/redis.conf.tera", text).expect_err(text);
        assert!(error.contains("DIR/docker/redis.conf.tera"), "{text}: {error}");
        assert!(error.contains(expect), "{text}: {error}");
    };
    check("a\nb {{ nothing }}\n", "line 2: Variable `nothing` not found");
    check("a\n\n{{ database.urll }}\n", "line 3: Variable `database.urll` not found");
    check("{% for s in services %}\n\n{{ s.nam }}{% endfor %}", "line 3: Variable `s.nam` not found");
    check("{% for s in servces %}{% endfor %}", "line 1: Variable `servces`");
    check("a\n{{ title | shout }}", "line 2: Filter 'shout' not found");
    check("a\n{{ services | shell }}", "line 2: Filter call 'shell' failed: filter `shell` takes a text");
    check("a\nb\n{{ title", "line 3: expected");
    check("a\n{% if x %}", "line 2: expected");
    check("a\n{{ incl(x='x') }}", "line 2: Function 'incl' not found");
    // Tera itself would take these for false.
    check("a\n{% if databse %}x{% endif %}", "line 2: Variable `databse` is not there to be tested");
    check("{% if title and not database.nope %}x{% endif %}", "line 1: Variable `database.nope` is not there");
    check("{% for s in services %}\n{% if s.nope %}{% endif %}{% endfor %}", "line 2: Variable `s.nope` is not there");
    check("{% if title %}{% else %}\n{% if nope %}{% endif %}{% endif %}", "line 2: Variable `nope` is not there");
    check("{% if title %}{% elif nope %}{% endif %}", "line 1: Variable `nope` is not there");
}

#[test]
fn names_that_are_there_can_be_tested() {
    let text = "{% set x = database %}{% if x.secret %}1{% endif %}\
        {% for s in services %}{% if loop.last %}{% if s.domains %}{% else %}2{% endif %}{% endif %}{% endfor %}\
        {% if nothing is defined %}{% else %}3{% endif %}{% if nope | default(value=true) %}4{% endif %}";
    let set = render_with("docker/redis.conf.tera", text).unwrap();
    assert_eq!(set.get("docker/redis.conf"), Some("1234".as_bytes()));
}

#[test]
fn a_misspelt_template_is_refused() {
    let error = render_with("docker/nestjs.Dokerfile.tera", "x").unwrap_err();
    assert!(
        error.starts_with(
            "DIR/docker/nestjs.Dokerfile.tera: it replaces no template (there are docker/nestjs.Dockerfile.tera"
        ),
        "{error}"
    );
    // What is no template is none of our business.
    assert!(render_with("README.md", "x").is_ok());
}

#[cfg(unix)]
#[test]
fn a_link_to_nowhere_does_not_mean_the_built_in_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("docker")).unwrap();
    std::os::unix::fs::symlink("/nowhere", dir.path().join("docker/redis.conf.tera")).unwrap();
    let templates_dir = Some(dir.path().to_owned());
    let options = RenderOptions { database: DatabaseTarget::Target, templates_dir, overlays_dir: None };
    let error = render(&oviya(), "tier2", &options).unwrap_err().to_string();
    assert!(error.contains("docker/redis.conf.tera: it can't be read"), "{error}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let options = RenderOptions {
        database: DatabaseTarget::Target,
        templates_dir: Some(Path::new("/nowhere/templates").to_owned()),
        overlays_dir: None,
    };
    let error = render(&oviya(), "tier2", &options).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/templates: it can't be read"), "{error}");
}

/// In our own YAML templates every value goes through a filter that quotes it.
#[test]
fn no_value_enters_yaml_unquoted() {
    for (path, text) in built_in_templates().filter(|(path, _)| path.ends_with(".yaml.tera")) {
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
            // What stands for itself is no value of ours, and a comment at a line's end is no YAML.
            let line = line.split("{% raw %}").next().unwrap_or(line);
            let line = line.split(" # ").next().unwrap_or(line);
            for tag in line.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
                let tag = tag.trim();
                assert!(tag.ends_with("| yaml") || tag.ends_with("| compose"), "{path}, line {}: {tag}", i + 1);
            }
        }
    }
}
