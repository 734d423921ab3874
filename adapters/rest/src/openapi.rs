//! The OpenAPI description. Written by hand in `openapi.json`; the tests hold it to the routes and to the fields of the twins.

/// The description, as JSON.
pub(crate) const DESCRIPTION: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::requests;
    use crate::routes::routes;

    fn description() -> Value {
        serde_json::from_str(DESCRIPTION).expect("is JSON")
    }

    #[test]
    fn describes_every_route_and_no_other() {
        let description = description();
        let paths = description["paths"].as_object().expect("paths");
        let described: BTreeSet<(String, String)> =
            paths.iter().flat_map(|(path, item)| item.as_object().expect("methods").keys().map(|m| (m.clone(), path.clone()))).collect();
        let real: BTreeSet<(String, String)> = routes().into_iter().map(|(m, p, _)| (m.to_owned(), p.to_owned())).collect();
        assert_eq!(described, real);
    }

    #[test]
    fn describes_the_fields_that_are_understood() {
        let description = description();
        let twins = [
            ("CreateCollection", requests::CreateCollection::FIELDS),
            ("Index", requests::Index::FIELDS),
            ("UpdateCollection", requests::UpdateCollection::FIELDS),
            ("NewRecord", requests::NewRecord::FIELDS),
            ("NewPatch", requests::NewPatch::FIELDS),
            ("Write", requests::Write::FIELDS),
            ("GetRecords", requests::GetRecords::FIELDS),
            ("Search", requests::Search::<1>::FIELDS),
            ("SearchBatch", requests::SearchBatch::FIELDS),
            ("Scan", requests::Scan::FIELDS),
            ("Count", requests::Count::FIELDS),
            ("Flush", requests::Flush::FIELDS),
            ("Admin", requests::Admin::FIELDS),
        ];
        for (name, fields) in twins {
            let schema = &description["components"]["schemas"][name];
            let described: BTreeSet<&str> = schema["properties"].as_object().expect(name).keys().map(String::as_str).collect();
            assert_eq!(described, fields.iter().copied().collect(), "{name}");
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(fields) => fields.iter().for_each(|(key, value)| match value.as_str() {
                    Some(target) if key == "$ref" => found.push(target),
                    _ => walk(value, found),
                }),
                Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
                _ => {}
            }
        }
        let description = description();
        let mut found = Vec::new();
        walk(&description, &mut found);
        assert!(!found.is_empty());
        for target in found {
            let pointer = target.strip_prefix('#').expect("within the description");
            assert!(description.pointer(pointer).is_some(), "{target}");
        }
    }
}
