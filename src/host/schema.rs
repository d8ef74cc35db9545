//! Whether a JSON value fits a JSON schema.

use serde_json::Value;

/// Checks `value` against `schema`, JSON text of any draft; references to other documents are not
/// followed.
///
/// # Errors
/// What does not fit, or what is wrong with the schema itself, in words for a model.
#[cfg(feature = "schema")]
pub fn check(schema: &str, value: &Value) -> Result<(), String> {
    /// The check recurses through every reference at every level of the value, which is more than
    /// the stack of a connection's thread bears: 128 levels (serde_json reads no more) of 200
    /// references need 40 MB. What is not used is not taken from memory.
    const STACK: usize = 64 * 1024 * 1024;
    std::thread::scope(|scope| {
        let work = || check_here(schema, value);
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|e| format!("no thread could be started: {e}"))?;
        thread.join().unwrap_or_else(|_| Err("the schema could not be checked".into()))
    })
}

/// More references than any schema for people has.
#[cfg(feature = "schema")]
const REFERENCES: usize = 200;

#[cfg(feature = "schema")]
fn check_here(schema: &str, value: &Value) -> Result<(), String> {
    /// A schema comes from a client, and must not make us read files.
    struct Nothing;
    impl boon::UrlLoader for Nothing {
        fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
            Err(format!("the schema refers to {url}, which is not followed").into())
        }
    }
    let fault = |e: &dyn std::fmt::Display| format!("the schema is not usable: {e}");
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
    schemas.validate(value, index).map_err(|e| {
        // The first line names only where the schema lies.
        let said = e.to_string();
        said.split_once('\n').map_or(said.clone(), |(_, faults)| faults.trim().to_owned())
    })
}

/// Without the feature `schema` every value fits.
#[cfg(not(feature = "schema"))]
pub fn check(_: &str, _: &Value) -> Result<(), String> {
    Ok(())
}

#[cfg(all(test, feature = "schema"))]
mod tests {
    use super::check;
    use serde_json::json;

    #[test]
    fn what_does_not_fit_is_said() {
        let schema =
            r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
        assert_eq!(check(schema, &json!({"city": "Paris"})), Ok(()));
        assert!(check(schema, &json!({"city": 5})).unwrap_err().contains("city"));
        assert!(check(schema, &json!({})).unwrap_err().contains("city"));
        let reading = r#"{"$ref":"file:///etc/passwd"}"#;
        assert!(check(reading, &json!({})).unwrap_err().contains("file:///etc/passwd"));
        let many = format!(r##"{{"allOf":[{}{{}}]}}"##, r##"{"$r\u0065f":"#"},"##.repeat(201));
        assert!(check(&many, &json!({})).unwrap_err().contains("references"));
        assert!(check("{", &json!({})).is_err());
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
