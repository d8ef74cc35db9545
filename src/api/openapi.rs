//! The description of the routes, which is data: OpenAPI 3.1, written by hand and kept in step by the
//! tests below, by `tests/openapi.rs` and by `tests/clients/test_openapi.py`.

/// An OpenAPI 3.1 document, JSON text.
pub const OPENAPI: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use super::super::{ENDPOINTS, ROUTES, Route};
    use super::OPENAPI;
    use crate::config::SETTINGS;
    use crate::routes::scope_of;
    use boon::{Compiler, Schemas};
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn document() -> Value {
        serde_json::from_str(OPENAPI).expect("the description is JSON")
    }

    /// Its operations: method, path, and what is said of it.
    fn operations(document: &Value) -> Vec<(String, String, &Value)> {
        let paths = document["paths"].as_object().expect("there are paths");
        let each = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("a path has methods");
            methods.iter().map(move |(method, said)| (method.to_uppercase(), path.clone(), said))
        });
        each.collect()
    }

    /// All strings in a value.
    fn texts<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::String(text) => found.push(text),
            Value::Array(list) => list.iter().for_each(|one| texts(one, found)),
            Value::Object(map) => map.values().for_each(|one| texts(one, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_is_described_and_no_other() {
        let document = document();
        let described: BTreeSet<String> = operations(&document)
            .iter()
            .map(|(method, path, _)| {
                format!("{method} {path}")
                    .replace("{response_id}", "{id}")
                    .replace("{model_id}", "{id}")
                    .replace("{exchange_id}", "{id}")
            })
            .collect();
        assert_eq!(described, ROUTES.iter().map(|route| route.to_string()).collect());
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn what_is_said_of_a_route_is_what_the_routes_say() {
        let document = document();
        for (method, path, said) in operations(&document) {
            let route = Route::of(&path).unwrap_or_else(|| panic!("no route: {path}"));
            assert!(route.allows(&method), "{method} {path}");
            let is_open = said["security"].as_array().is_some_and(Vec::is_empty);
            assert_eq!(is_open, scope_of(route).is_none(), "{path}: security");
            assert_eq!(
                said["responses"].get("401").is_some(),
                scope_of(route).is_some(),
                "{path}: 401"
            );
            assert_eq!(said["requestBody"].is_object(), method == "POST", "{path}: a body");
            assert_eq!(said["responses"].get("504").is_some(), route.asks(), "{path}: 504");
            let streams = said.pointer("/responses/200/content/text~1event-stream").is_some();
            let is_one = ENDPOINTS.iter().any(|one| one.path == path) || path == "/v1/events";
            assert_eq!(streams, is_one, "{path}: streams");
        }
    }

    #[test]
    fn what_it_refers_to_is_there() {
        let document = document();
        let mut found = Vec::new();
        texts(&document, &mut found);
        let refers = found.iter().filter_map(|text| text.strip_prefix('#'));
        let refers: BTreeSet<&str> = refers.collect();
        for place in &refers {
            assert!(document.pointer(place).is_some(), "nothing is at {place}");
        }
        for (folder, parts) in document["components"].as_object().expect("there are components") {
            for name in parts.as_object().expect("a folder of components").keys() {
                let place = format!("/components/{folder}/{name}");
                let used = refers.contains(place.as_str()) || folder == "securitySchemes";
                assert!(used, "nobody refers to {place}");
            }
        }
    }

    #[test]
    fn the_settings_it_names_are_settings() {
        let document = document();
        let mut found = Vec::new();
        texts(&document, &mut found);
        let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
        for name in found.iter().flat_map(|text| text.split(|c| !is_name(c))) {
            if name.starts_with("MODELTAP_") {
                let known = SETTINGS.iter().flat_map(|one| one.env).any(|(env, _)| *env == name);
                assert!(known, "there is no setting {name}");
            }
        }
    }

    #[test]
    fn its_schemas_are_schemas() {
        let document = document();
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.add_resource("modeltap:openapi", document.clone()).unwrap();
        let all = document["components"]["schemas"].as_object().unwrap();
        assert!(all.len() > 30);
        for name in all.keys() {
            let place = format!("modeltap:openapi#/components/schemas/{name}");
            compiler.compile(&place, &mut schemas).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        }
    }
}
