//! What a request's line and headers name: the collection, the record, the site, the query parameters.

use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use proximadb_model::{CollectionRef, Invalid, RecordId};
use proximadb_ports::{Durability, check_site};

use crate::convert;
use crate::problem::Problem;
use crate::routes::Api;

/// The collection in the path.
pub(crate) struct InCollection(pub(crate) CollectionRef);

/// The record in the path.
pub(crate) struct OfRecord(pub(crate) RecordId);

/// The site in the path, by its uuid or its number.
pub(crate) struct AtSite(pub(crate) String);

/// For routes that take no query parameters.
pub(crate) struct NoParameters;

/// Query parameters, each at most once; whoever takes them says which are known.
pub(crate) struct Parameters(Vec<(String, String)>);

async fn path_parameter(parts: &mut Parts, name: &str) -> Result<String, Problem> {
    let wrong = |reason: String| Problem::from(Invalid::new(name, reason));
    let parameters = RawPathParams::from_request_parts(parts, &()).await.map_err(|e| wrong(e.to_string()))?;
    parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).ok_or_else(|| wrong("is missing".to_owned()))
}

impl FromRequestParts<Api> for InCollection {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        Ok(Self(CollectionRef::parse(&path_parameter(parts, "collection").await?)?))
    }
}

impl FromRequestParts<Api> for OfRecord {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        Ok(Self(RecordId::new(&path_parameter(parts, "id").await?)?))
    }
}

impl FromRequestParts<Api> for AtSite {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let name = path_parameter(parts, "site").await?;
        check_site(&name)?;
        Ok(Self(name))
    }
}

impl FromRequestParts<Api> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let wrong = |e: axum::extract::rejection::QueryRejection| Problem::malformed(e.body_text());
        Query::from_request_parts(parts, &()).await.map(|Query(pairs)| Self(pairs)).map_err(wrong)
    }
}

impl FromRequestParts<Api> for NoParameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Parameters::from_request_parts(parts, api).await?.only(&[])?;
        Ok(Self)
    }
}

impl Parameters {
    /// Refuses parameters that are not known, and repeated ones.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Invalid> {
        for (i, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(Invalid::new(name, format!("unknown query parameter; known are: {}", known.join(", "))));
            }
            if self.0.iter().take(i).any(|(other, _)| other == name) {
                return Err(Invalid::new(name, "is given twice"));
            }
        }
        Ok(())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Invalid> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Invalid::new(name, "must be true or false")),
        }
    }

    pub(crate) fn durability(&self) -> Result<Durability, Invalid> {
        convert::durability(self.text("durability"))
    }
}

/// The header `Idempotency-Key`.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Invalid> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().map_err(|_| Invalid::new("idempotency_key", "must be visible ASCII characters"))?;
    Ok(Some(text.to_owned()))
}
