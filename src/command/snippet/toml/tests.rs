use super::super::edit::{Format, Found, look, put as edit_put, take as edit_take};
use super::*;

fn mine() -> Put {
    let env = Tree::Object(vec![("MODELTAP_PORT".into(), Tree::text("9000"))]);
    let value =
        Tree::Object(vec![("command".into(), Tree::text("/b/modeltap")), ("env".into(), env)]);
    Put { path: vec!["mcp_servers", "modeltap"], value, mine: Mine::Command("command") }
}

const BLOCK: &str =
    "[mcp_servers.modeltap]\ncommand = \"/b/modeltap\"\nenv = { MODELTAP_PORT = \"9000\" }\n";

#[test]
fn the_table_goes_to_the_end_and_out_again() {
    for (before, between) in [
        ("", ""),
        (
            "model = \"gpt\" # c\n\n[mcp_servers.other]\ncommand = 'npx'\nargs = [\n  \"-y\", # [x]\n  \"[mcp_servers.modeltap]\",\n]\n",
            "\n",
        ),
        ("[tui]\nx = \"\"\"\n[mcp_servers.modeltap]\n\"\"\"\n\n", ""),
        (
            "[mcp_servers]\n[a.\"b.c\"]\nd = 1979-05-27 07:32:00Z\ne = { f = [1, 2.5e3], g.h = true }\n",
            "\n",
        ),
        ("mcp_servers.x.command = \"y\"\n", "\n"),
        ("[[products]]\nname = ''\n[[products]]\n", "\n"),
    ] {
        let with = edit_put(Format::Toml, before, &mine()).unwrap();
        assert_eq!(with, format!("{before}{between}{BLOCK}"));
        assert_eq!(look(Format::Toml, &with, &mine()).unwrap(), Found::Same);
        assert_eq!(edit_put(Format::Toml, &with, &mine()).unwrap(), with);
        assert_eq!(edit_take(Format::Toml, &with, &mine()).unwrap().trim_end(), before.trim_end());
    }
    let with = edit_put(Format::Toml, "[a]\r\nb = 1", &mine()).unwrap();
    assert_eq!(with, format!("[a]\r\nb = 1\r\n\r\n{}", BLOCK.replace('\n', "\r\n")));
}

#[test]
fn one_that_is_there_is_changed_in_its_place_with_all_that_is_below_it() {
    for (stands, state) in [
        (
            "[mcp_servers.modeltap]\ncommand = '/old/modeltap'\n\n[mcp_servers.modeltap.env]\nA = \"1\"\n",
            Found::Ours,
        ),
        ("[mcp_servers.\"modeltap\"] # c\ncommand = \"npx\"\n", Found::Foreign(3)),
        ("[mcp_servers.modeltap]\nurl = \"http://x\"\n", Found::Foreign(3)),
    ] {
        let text = format!("[mcp_servers.a]\ncommand = \"x\"\n{stands}\n# about b\n[b]\n");
        assert_eq!(look(Format::Toml, &text, &mine()).unwrap(), state, "{text}");
        let changed = edit_put(Format::Toml, &text, &mine()).unwrap();
        let (head, tail) = ("[mcp_servers.a]\ncommand = \"x\"\n", "\n# about b\n[b]\n");
        assert!(
            changed.starts_with(&format!("{head}{BLOCK}")) && changed.ends_with(tail),
            "{changed}"
        );
        assert!(!changed.contains("old") && !changed.contains("A = "), "{changed}");
        assert_eq!(
            edit_take(Format::Toml, &text, &mine()).unwrap().replace("\n\n", "\n"),
            format!("{head}{tail}").replace("\n\n", "\n")
        );
    }
}

#[test]
fn one_without_a_head_of_its_own_is_moved_to_one() {
    for text in [
        "[mcp_servers]\nmodeltap.command = \"/o/modeltap\"\nother.command = \"x\"\n",
        "[mcp_servers]\nmodeltap = { command = \"/o/modeltap\" } # c\nother.command = \"x\"\n",
        "mcp_servers.modeltap.command = \"/o/modeltap\"\nmcp_servers.other.command = \"x\"\n",
    ] {
        assert_eq!(look(Format::Toml, text, &mine()).unwrap(), Found::Ours, "{text}");
        let changed = edit_put(Format::Toml, text, &mine()).unwrap();
        assert!(
            changed.ends_with(&format!("\"x\"\n\n{BLOCK}")) && !changed.contains("/o/"),
            "{changed}"
        );
    }
}

#[test]
fn what_is_no_toml_or_in_the_way_is_told_with_its_place() {
    for (text, line, column) in [
        ("a = \n", 1, 5),
        ("a\n", 1, 2),
        ("[a\n", 1, 3),
        ("[a]\nb = \"c\n\"", 2, 5),
        ("b = [1 2]", 1, 8),
        ("b = {c = 1", 1, 11),
        ("b = 1 c = 2", 1, 7),
        ("= 1", 1, 1),
        ("x = '''\nno end", 1, 5),
        ("mcp_servers = { a = { command = \"x\" } }", 1, 1),
        ("[[mcp_servers]]\n", 1, 1),
    ] {
        let fault = edit_put(Format::Toml, text, &mine()).unwrap_err();
        assert_eq!((fault.line, fault.column), (line, column), "{text}: {fault}");
    }
    let deep = format!("a = {}", "[".repeat(200));
    assert!(edit_put(Format::Toml, &deep, &mine()).unwrap_err().why.contains("deep"));
}
