//! The settings as they are understood, each with where its value comes from.

use super::finding::Finding;
use crate::access::token::fingerprint;
use crate::config::{Config, Given, NotUnderstood, SETTINGS, Setting, Source};
use hmac_sha256::HMAC;
use uuid::Uuid;

/// What is said of the settings.
pub fn check(
    given: &[Given],
    faults: &[NotUnderstood],
    config: &Config,
    all: bool,
) -> Vec<Finding> {
    // Another at each run, so that what is shown of a key is of no use to who guesses keys.
    let salt = *Uuid::new_v4().as_bytes();
    let shown = |given: &Given| shown(given, config, salt);
    let mut findings = Vec::new();
    for setting in SETTINGS {
        let check = format!("settings.{}", setting.flag);
        let of_this = given.iter().filter(|given| given.setting.flag == setting.flag);
        let (wrong, good): (Vec<&Given>, Vec<&Given>) =
            of_this.partition(|given| faults.iter().any(|f| f.source == Some(given.source)));
        for given in wrong {
            let said = faults.iter().find(|fault| fault.source == Some(given.source));
            let said = said.map(|fault| fault.said.as_str()).unwrap_or_default();
            let remedy = "the bridge does not start with it; correct or unset it";
            findings.push(Finding::problem(&check, said, remedy).from(given.source));
        }
        findings.extend(match good.split_last() {
            None if all => Some(
                Finding::ok(&check, format!("{}, the default", setting.default))
                    .with(setting.default)
                    .from("default"),
            ),
            None => None,
            Some((strongest, others)) => Some(of(setting, &check, strongest, others, &shown)),
        });
    }
    let unfit = faults.iter().filter(|fault| fault.source.is_none());
    findings.extend(unfit.map(|fault| {
        Finding::problem(
            "settings",
            &fault.said,
            "set it, or another --backend; auto takes what is there",
        )
    }));
    if findings.is_empty() {
        findings.push(Finding::ok("settings", "all are at their defaults"));
    }
    findings
}

fn of(
    setting: &Setting,
    check: &str,
    strongest: &Given,
    others: &[&Given],
    shown: &dyn Fn(&Given) -> String,
) -> Finding {
    let value = shown(strongest);
    let said = format!("{value}, from {}", strongest.source);
    if setting.adds_up() && !others.is_empty() {
        let origins: Vec<String> = others.iter().map(|given| given.source.to_string()).collect();
        let said = format!("{said}, and more from {}", origins.join(", "));
        return Finding::ok(check, said).with(value).from(strongest.source);
    }
    // The same flag twice: the last one counts, as with most programs.
    let weaker = others.iter().rev().find(|given| given.text != strongest.text);
    let finding = match weaker {
        None => Finding::ok(check, said),
        Some(weaker) => {
            let (other, name) = (shown(weaker), weaker.source);
            let remedy = match name {
                Source::Flag(_) => format!("give {name} once"),
                Source::Env(_) => format!("unset {name} if that is what you want"),
            };
            Finding::warning(check, format!("{said}, goes before {other} from {name}"), remedy)
        }
    };
    finding.with(value).from(strongest.source)
}

/// The value, or what may be told of it.
fn shown(given: &Given, config: &Config, salt: [u8; 16]) -> String {
    match given.setting.flag {
        // Its path may hold a secret.
        "forward" => config.forward.url.as_ref().map_or("set".into(), |url| url.origin()),
        _ if given.setting.is_secret() => {
            format!("set (fingerprint {} in this run)", fingerprint(&HMAC::mac(&given.text, salt)))
        }
        _ => given.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn said(flags: &[(&str, &str)], env: &[(&str, &str)]) -> Vec<Finding> {
        let flags: Vec<(String, String)> =
            flags.iter().map(|(f, v)| ((*f).to_owned(), (*v).to_owned())).collect();
        let env =
            |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let given = config::given(&flags, env);
        let (config, faults) = config::read_all(&flags, env);
        check(&given, &faults, &config, false)
    }

    #[test]
    fn each_value_is_told_with_where_it_comes_from_and_what_it_goes_before() {
        for (flags, env, line) in [
            (&[][..], &[][..], "Ok settings: all are at their defaults"),
            (&[], &[("MODELTAP_PORT", "1")], "Ok settings.port: 1, from MODELTAP_PORT"),
            (&[], &[("BRIDGE_HTTP_PORT", "1")], "Ok settings.port: 1, from BRIDGE_HTTP_PORT"),
            (
                &[],
                &[("MODELTAP_PORT", "1"), ("BRIDGE_HTTP_PORT", "2")],
                "Warning settings.port: 1, from MODELTAP_PORT, goes before 2 from BRIDGE_HTTP_PORT",
            ),
            (
                &[("port", "3")],
                &[("MODELTAP_PORT", "1")],
                "Warning settings.port: 3, from --port, goes before 1 from MODELTAP_PORT",
            ),
            (&[("port", "1")], &[("MODELTAP_PORT", "1")], "Ok settings.port: 1, from --port"),
            (
                &[("audit-redact", "b")],
                &[("MODELTAP_AUDIT_REDACT", "a")],
                "Ok settings.audit-redact: b, from --audit-redact, and more from MODELTAP_AUDIT_REDACT",
            ),
            (
                &[],
                &[("MODELTAP_FORWARD", "http://h:1/secret")],
                "Ok settings.forward: http://h:1, from MODELTAP_FORWARD",
            ),
        ] {
            let findings = said(flags, env);
            let [Finding { check, status, message, .. }] = &findings[..] else {
                panic!("{findings:?}")
            };
            assert_eq!(format!("{status:?} {check}: {message}"), line);
        }
    }

    #[test]
    fn what_is_not_understood_is_a_problem_and_the_rest_is_told_all_the_same() {
        let findings = said(&[], &[("MODELTAP_PORT", "x"), ("BRIDGE_HTTP_PORT", "2")]);
        let told: Vec<String> =
            findings.iter().map(|f| format!("{:?} {}", f.status, f.message)).collect();
        assert!(told[0].starts_with("Problem MODELTAP_PORT: \"x\""), "{told:?}");
        assert_eq!(told[1], "Ok 2, from BRIDGE_HTTP_PORT");
    }

    #[test]
    fn keys_are_not_told_and_equal_ones_look_equal() {
        let findings =
            said(&[], &[("MODELTAP_API_KEY", "s3cret"), ("MODELTAP_FORWARD_KEY", "s3cret")]);
        let values: Vec<&String> = findings.iter().filter_map(|f| f.value.as_ref()).collect();
        assert_eq!(values[0], values[1]);
        assert!(!format!("{findings:?}").contains("s3cret"));
    }
}
