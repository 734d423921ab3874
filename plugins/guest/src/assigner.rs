//! Owns what a placement strategy is to its author. Refuses to know strategies.

use crate::{Refusal, Site, Subject};

/// A placement strategy that [`export_assigner!`](crate::export_assigner) makes a plugin of. It keeps nothing between calls:
/// the host asks a new instance each time.
pub trait Assigner {
    /// The place in `sites` of the site for each subject, in the order of the subjects. The same arguments give the same answer.
    ///
    /// `settings` is a JSON text. The sites are a copy, on which the strategy may count what it placed: see [`Site::take`].
    ///
    /// # Errors
    /// [`Refusal`], with a text for people.
    fn assign(settings: &str, subjects: &[Subject], sites: &mut [Site]) -> Result<Vec<u32>, Refusal>;
}

/// Makes the exports of the world `assigner-plugin` from a type of this crate that is an [`Assigner`]. Once in a plugin.
#[macro_export]
macro_rules! export_assigner {
    ($assigner:ident) => {
        const _: () = {
            struct Export;

            impl $crate::bindings::assigner::exports::proximadb::plugin::assigner::Guest for Export {
                fn assign(
                    settings: String,
                    subjects: Vec<$crate::Subject>,
                    mut sites: Vec<$crate::Site>,
                ) -> Result<Vec<u32>, $crate::Refusal> {
                    <$assigner as $crate::Assigner>::assign(&settings, &subjects, &mut sites)
                }
            }

    $crate::bindings::assigner::export!(Export with_types_in $crate::bindings::assigner);
        };
    };
}
