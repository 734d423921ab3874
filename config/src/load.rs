//! Laying the defaults, the file and the variables over each other. The caller hands over the variables.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};

use crate::environment::variables;
use crate::error::ConfigError;
use crate::settings::Settings;

impl Settings {
    /// The settings of a file, when there is one, under those of the `PROXIMADB_` variables among `variables`
    /// (`std::env::vars_os()` in a server). `PROXIMADB_SERVER__REST_LISTEN` sets `server.rest_listen`.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML; a setting is unknown, of a wrong type, out of its range or against another.
    pub fn load(file: Option<&Path>, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        match file {
            None => Self::parse("", "no file", variables),
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { file: path.to_owned(), source })?;
                Self::parse(&text, &path.display().to_string(), variables)
            }
        }
    }

    /// As [`Settings::load`], from text that is already there; `origin` names it in errors.
    ///
    /// # Errors
    /// As [`Settings::load`], but for reading.
    pub fn parse(text: &str, origin: &str, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let file = Figment::from(Toml::string(text));
        if let Err(error) = file.extract::<figment::value::Dict>() {
            return Err(ConfigError::Syntax { origin: origin.to_owned(), message: error.kind.to_string().trim().to_owned() });
        }
        let mut figment = Figment::from(Serialized::defaults(Self::default())).merge(file);
        for variable in variables(environment)? {
            figment = figment.merge(variable);
        }
        let settings: Self = figment.extract().map_err(|error| ConfigError::from_figment(&error, origin))?;
        settings.check()?;
        Ok(settings)
    }
}
