use super::super::edit::{Format, Found as State, look, put as edit_put, take as edit_take};
use super::*;

fn mine() -> Put {
    let value = Tree::Object(vec![
        ("enabled".into(), Tree::Truth(true)),
        ("cmd".into(), Tree::text("/b/modeltap")),
        ("args".into(), Tree::List(vec![])),
    ]);
    Put { path: vec!["extensions", "modeltap"], value, mine: Mine::Command("cmd") }
}

fn item() -> Put {
    let params = Tree::Object(vec![("model".into(), Tree::text("openai/modeltap"))]);
    let members =
        vec![("model_name".into(), Tree::text("modeltap")), ("litellm_params".into(), params)];
    Put { path: vec!["model_list", ITEM], value: Tree::Object(members), mine: Mine::Always }
}

fn word() -> Put {
    Put { path: vec!["model"], value: Tree::text("openai/modeltap"), mine: Mine::Same }
}

const BLOCK: &str = "  modeltap:\n    enabled: true\n    cmd: \"/b/modeltap\"\n    args: []\n";
const ITEM_BLOCK: &str =
    "- model_name: modeltap\n  litellm_params:\n    model: \"openai/modeltap\"\n";

#[test]
fn an_entry_goes_behind_its_like_and_out_again() {
    let shifted =
        |text: &str, by: &str| text.lines().map(|line| format!("{by}{line}\n")).collect::<String>();
    for (put, before, after) in [
        (mine(), "a: 1\nextensions:\n  dev:\n    type: builtin # c\n\n# last\nb: |\n  extensions:\n   x\nc: 'it''s: #'\n".to_owned(),
            format!("a: 1\nextensions:\n  dev:\n    type: builtin # c\n{BLOCK}\n# last\nb: |\n  extensions:\n   x\nc: 'it''s: #'\n")),
        (mine(), "---\n# top\nextensions: {} # none\n".into(), format!("---\n# top\nextensions: # none\n{BLOCK}")),
        (mine(), "extensions:\n    dev: {type: builtin,\n      x: [1, \"]\"]}\n".into(),
            format!("extensions:\n    dev: {{type: builtin,\n      x: [1, \"]\"]}}\n{}", shifted(BLOCK, "  "))),
        (item(), "model_list:\n- model_name: a\n  x:\n  - 1\n- model_name: b\nz: \"a\n  b: c\"\n".into(),
            format!("model_list:\n- model_name: a\n  x:\n  - 1\n- model_name: b\n{ITEM_BLOCK}z: \"a\n  b: c\"\n")),
        (item(), "model_list:\n  - model_name: a\n".into(), format!("model_list:\n  - model_name: a\n{}", shifted(ITEM_BLOCK, "  "))),
        (item(), "model_list: []\n".into(), format!("model_list:\n{}", shifted(ITEM_BLOCK, "  "))),
        (word(), "dark-mode: true\n".into(), "dark-mode: true\nmodel: \"openai/modeltap\"\n".into()),
    ] {
        let with = edit_put(Format::Yaml, &before, &put).unwrap();
        assert_eq!(with, after);
        assert_eq!(look(Format::Yaml, &with, &put).unwrap(), State::Same, "{with}");
        assert_eq!(edit_put(Format::Yaml, &with, &put).unwrap(), with);
        assert_eq!(edit_take(Format::Yaml, &with, &put).unwrap(), before);
    }
}

#[test]
fn names_on_the_way_are_made() {
    for (put, before, after) in [
        (mine(), "", format!("extensions:\n{BLOCK}")),
        (mine(), "{}\n", format!("extensions:\n{BLOCK}")),
        (mine(), "a: 1", format!("a: 1\nextensions:\n{BLOCK}")),
        (mine(), "a: 1\r\n", format!("a: 1\nextensions:\n{BLOCK}").replace('\n', "\r\n")),
        (mine(), "extensions:\n", format!("extensions:\n{BLOCK}")),
        (mine(), "extensions: null\nb: 2\n", format!("extensions:\n{BLOCK}b: 2\n")),
    ] {
        let with = edit_put(Format::Yaml, before, &put).unwrap();
        assert_eq!(with, after, "{before}");
        let without = edit_take(Format::Yaml, &with, &put).unwrap();
        assert_eq!(
            is_hollow(&without, &[put]),
            ["", "{}\n", "extensions:\n"].contains(&before),
            "{without}"
        );
    }
}

#[test]
fn one_that_is_there_is_changed_in_its_place() {
    for (stands, state) in [
        ("  modeltap:\n    cmd: /old/modeltap\n    args:\n    - x\n", State::Ours),
        ("  \"modeltap\":\n    cmd: 'npx'\n", State::Foreign(2)),
        ("  modeltap: {cmd: modeltap}\n", State::Foreign(2)),
    ] {
        let text = format!("extensions:\n{stands}  z:\n    a: 1\n");
        assert_eq!(look(Format::Yaml, &text, &mine()).unwrap(), state, "{text}");
        let changed = edit_put(Format::Yaml, &text, &mine()).unwrap();
        assert_eq!(changed, format!("extensions:\n{BLOCK}  z:\n    a: 1\n"));
        assert_eq!(
            edit_take(Format::Yaml, &text, &mine()).unwrap(),
            "extensions:\n  z:\n    a: 1\n"
        );
    }
    assert_eq!(look(Format::Yaml, "model: openai/modeltap # c\n", &word()).unwrap(), State::Same);
    assert_eq!(look(Format::Yaml, "model: gpt-4o\n", &word()).unwrap(), State::Foreign(1));
    let other = "model_list:\n  - litellm_params: {}\n    model_name: \"modeltap\"\n";
    assert_eq!(look(Format::Yaml, other, &item()).unwrap(), State::Ours);
}

#[test]
fn what_is_not_understood_is_told_with_its_place() {
    for (text, line, column) in [
        ("a: 1\n--- \nb: 2\n", 2, 1),
        ("%YAML 1.2\n", 1, 1),
        ("a:\n\tb: 1\n", 2, 1),
        ("a: \"x\n", 1, 4),
        ("a: [1, 2\n", 1, 4),
        ("a: 1\na: 2\n", 2, 1),
        ("? a\n: b\n", 1, 1),
        ("just words\n", 1, 1),
        ("a: b: c\n", 1, 4),
        ("a: 'x' y\n", 1, 7),
        ("a: 1\n  b: 2\n", 2, 1),
        ("a:\n  b: 1\n   c: 2\n", 3, 1),
        ("a:\n    b:\n  c: 2\n", 3, 1),
        ("a:\n  b: 1\n  - c\n", 3, 1),
        ("a: 1\n- b\n", 2, 1),
        ("extensions: {a: 1}\n", 1, 13),
        ("extensions:\n  - a\n", 2, 1),
        ("extensions: *base\n", 1, 13),
    ] {
        let fault = edit_put(Format::Yaml, text, &mine()).unwrap_err();
        assert_eq!((fault.line, fault.column), (line, column), "{text}: {fault}");
    }
}
