//! Telling of the plugins that a server has loaded, or has refused to.

use crate::database::PluginStatus;

/// The plugins of a server. What they compute goes over the ports of their roles; this one only tells of them.
pub trait PluginList: Send + Sync + 'static {
    /// All of them, by name, as they are at this moment.
    fn list(&self) -> Vec<PluginStatus>;
}

/// A server without plugins.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPlugins;

impl PluginList for NoPlugins {
    fn list(&self) -> Vec<PluginStatus> {
        Vec::new()
    }
}
