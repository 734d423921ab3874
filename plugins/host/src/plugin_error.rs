//! Everything that can be wrong with a plugin, before it runs and while it does, and which fault each is at a port.

use proximadb_ports::{Fault, PortError};
use thiserror::Error;
use wasmtime::Trap;

/// Bytes of a plugin's own text that make it into a message.
const GUEST_TEXT_BYTES_MAX: usize = 512;

#[derive(Debug, Error)]
pub(crate) enum PluginError {
    #[error("must be 1 to 64 letters, digits, _ or -")]
    Name,
    #[error("the component has {bytes} bytes, and at most {max} are taken")]
    TooLarge { bytes: usize, max: usize },
    #[error("the component's sha256 is {actual}, and {expected} was asked for")]
    OtherBytes { expected: String, actual: String },
    #[error("these bytes are no WebAssembly component that this host takes")]
    NotAComponent(#[source] wasmtime::Error),
    #[error("the component imports {0}, and plugins may import nothing")]
    Imports(String),
    #[error("the component does not export {interface} as it should be")]
    WrongWorld { interface: &'static str, source: wasmtime::Error },
    #[error("vectors of {0} components are out of reach")]
    Dimension(usize),
    #[error("graphs are walked by this metric itself, which must be symmetric, and the plugin says that it is not")]
    Asymmetric,
    #[error("the query has {actual} components, or one that is not finite, and {expected} finite ones are compared")]
    Query { actual: usize, expected: usize },
    #[error("the plugin says: {0}")]
    Said(String),
    #[error("the plugin says that no site has room: {0}")]
    NoRoom(String),
    #[error("the plugin ran into a limit or trapped")]
    Trapped(#[source] wasmtime::Error),
    #[error("the plugin took too long")]
    TooLong(#[source] wasmtime::Error),
    #[error("the plugin's answer is no good: {0}")]
    BadAnswer(String),
    #[error("the plugin failed too often and is left alone for a while")]
    Resting,
    #[error("a block of {components} components was to give {rows} keys of {dimension} components each")]
    Block { components: usize, rows: usize, dimension: usize },
}

impl PluginError {
    /// A call of the guest that did not come back with an answer.
    pub(crate) fn trapped(error: wasmtime::Error) -> Self {
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt | Trap::OutOfFuel) => Self::TooLong(error),
            _ => Self::Trapped(error),
        }
    }

    /// An error that the guest itself gave, cut to a sane length.
    pub(crate) fn said(text: &str) -> Self {
        Self::Said(cut(text))
    }

    /// The guest's word that no site has room, cut to a sane length.
    pub(crate) fn no_room(text: &str) -> Self {
        Self::NoRoom(cut(text))
    }

    /// Whether the plugin broke its contract while it ran.
    pub(crate) fn is_misbehaviour(&self) -> bool {
        matches!(self, Self::Trapped(_) | Self::TooLong(_) | Self::BadAnswer(_))
    }

    /// The message, with what the trap was.
    pub(crate) fn with_root_cause(&self) -> String {
        match self {
            Self::Trapped(source) | Self::TooLong(source) => format!("{self}: {}", source.root_cause()),
            _ => self.to_string(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Trapped(_) | Self::TooLong(_) | Self::BadAnswer(_) | Self::Resting => Fault::Plugin,
            Self::NoRoom(_) => Fault::Exhausted,
            Self::Block { .. } => Fault::Internal,
            Self::Name
            | Self::TooLarge { .. }
            | Self::OtherBytes { .. }
            | Self::NotAComponent(_)
            | Self::Imports(_)
            | Self::WrongWorld { .. }
            | Self::Dimension(_)
            | Self::Asymmetric
            | Self::Query { .. }
            | Self::Said(_) => Fault::Invalid,
        }
    }

    /// The failure of `op` on the plugin `name`.
    pub(crate) fn at(self, op: &'static str, name: &str) -> PortError {
        let (fault, message) = (self.fault(), self.to_string());
        let error = PortError::new(fault, op, name, message);
        match self {
            Self::NotAComponent(source) | Self::WrongWorld { source, .. } | Self::Trapped(source) | Self::TooLong(source) => {
                error.with_source(source)
            }
            _ => error,
        }
    }
}

fn cut(text: &str) -> String {
    let end = (0..=GUEST_TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let (head, rest) = text.split_at(end);
    if rest.is_empty() { head.to_owned() } else { format!("{head}…") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_of_guests_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(""), "");
        let long = format!("{}ü and more", "x".repeat(GUEST_TEXT_BYTES_MAX - 1));
        assert_eq!(cut(&long), format!("{}…", "x".repeat(GUEST_TEXT_BYTES_MAX - 1)));
    }
}
