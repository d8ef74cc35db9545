//! Whether a JSON value fits a JSON schema.

use serde_json::Value;

/// Why a value was not found to fit.
#[derive(Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The schema itself is of no use, for this reason.
    Schema(String),
    /// What does not fit, in words for a model.
    Value(String),
}

/// Checks `value` against `schema`, JSON text of any draft; references to other documents are not
/// followed.
///
/// # Errors
/// What does not fit, or what is wrong with the schema itself.
#[cfg(feature = "schema")]
pub fn check(schema: &str, value: &Value) -> Result<(), Misfit> {
    aside(|| check_here(schema, Some(value)))
}

/// Whether `schema` can be checked against.
///
/// # Errors
/// What is wrong with it.
#[cfg(feature = "schema")]
pub fn usable(schema: &str) -> Result<(), Misfit> {
    aside(|| check_here(schema, None))
}

/// Runs a check on a stack of its own. It recurses through every reference at every level of the
/// value, which is more than the stack of a connection's thread bears: 128 levels (serde_json reads
/// no more) of 200 references need 40 MB. What is not used is not taken from memory.
#[cfg(feature = "schema")]
fn aside(check: impl FnOnce() -> Result<(), Misfit> + Send) -> Result<(), Misfit> {
    const STACK: usize = 64 * 1024 * 1024;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, check);
        let thread =
            thread.map_err(|e| Misfit::Value(format!("no thread could be started: {e}")))?;
        let broken = || Err(Misfit::Schema("the schema could not be checked".into()));
        thread.join().unwrap_or_else(|_| broken())
    })
}

/// More references than any schema for people has.
#[cfg(feature = "schema")]
const REFERENCES: usize = 200;

#[cfg(feature = "schema")]
fn check_here(schema: &str, value: Option<&Value>) -> Result<(), Misfit> {
    /// A schema comes from a client, and must not make us read files.
    struct Nothing;
    impl boon::UrlLoader for Nothing {
        fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
            Err(format!("the schema refers to {url}, which is not followed").into())
        }
    }
    let fault =
        |e: &dyn std::fmt::Display| Misfit::Schema(format!("the schema is not usable: {e:#}"));
    let schema: Value = serde_json::from_str(schema).map_err(|e| fault(&e))?;
    // Written anew, so that no escape hides a reference.
    let written = schema.to_string();
    if written.matches("ref\"").count() + written.matches("Ref\"").count() > REFERENCES {
        return Err(fault(&format!("it has over {REFERENCES} references")));
    }
    let location = "modeltap:///schema";
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.use_loader(Box::new(Nothing));
    compiler.add_resource(location, schema).map_err(|e| fault(&e))?;
    let index = compiler.compile(location, &mut schemas).map_err(|e| fault(&e))?;
    let Some(value) = value else { return Ok(()) };
    schemas.validate(value, index).map_err(|e| {
        // The first line names only where the schema lies.
        let said = e.to_string();
        let faults = said.split_once('\n').map(|(_, faults)| faults.trim().to_owned());
        Misfit::Value(faults.unwrap_or(said))
    })
}

/// Without the feature `schema` every value fits.
#[cfg(not(feature = "schema"))]
pub fn check(_: &str, _: &Value) -> Result<(), Misfit> {
    Ok(())
}

/// Without the feature `schema` every schema will do.
#[cfg(not(feature = "schema"))]
pub fn usable(_: &str) -> Result<(), Misfit> {
    Ok(())
}

#[cfg(all(test, feature = "schema"))]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_fit_is_said() {
        let schema =
            r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
        let value = |schema: &str, value| match check(schema, &value) {
            Err(Misfit::Value(said)) => said,
            other => panic!("{other:?}"),
        };
        assert_eq!(check(schema, &json!({"city": "Paris"})), Ok(()));
        assert!(value(schema, json!({"city": 5})).contains("city"));
        assert!(value(schema, json!({})).contains("city"));
        let reading = r#"{"$ref":"file:///etc/passwd"}"#;
        let many = format!(r##"{{"allOf":[{}{{}}]}}"##, r##"{"$r\u0065f":"#"},"##.repeat(201));
        for (schema, named) in [
            (reading, "file:///etc/passwd"),
            (&many, "references"),
            ("{", "EOF"),
            (r#"{"type":"strin"}"#, "strin"),
        ] {
            for found in [usable(schema), check(schema, &json!({}))] {
                assert!(
                    matches!(&found, Err(Misfit::Schema(said)) if said.contains(named)),
                    "{found:?}"
                );
            }
        }
    }

    #[test]
    fn deep_values_and_schemas_do_not_overflow() {
        let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
        let value = serde_json::from_str(&deep).unwrap();
        let schema = r##"{"anyOf":[{"type":"integer"},{"type":"array","items":{"$ref":"#"}}]}"##;
        assert_eq!(check(schema, &value), Ok(()));
        let nested = format!("{}{{}}{}", r#"{"not":{"not":"#.repeat(30), "}}".repeat(30));
        assert_eq!(check(&nested, &value), Ok(()));
    }
}
