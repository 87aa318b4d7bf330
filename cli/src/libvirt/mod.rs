//! vmlan in the place of a libvirt network, and back.
//!
//! What a network is: [`xml`] reads libvirt's description ([`reader`] sees to
//! it that nothing in it is passed over), [`translate`](mod@translate) makes a
//! configuration of it ([`dnsmasq`]: of the options in it that are dnsmasq's
//! own; [`parts`]: as far as vmlan takes it), [`redefine`](mod@redefine) the
//! description that libvirt gets meanwhile.

mod dnsmasq;
mod parts;
mod reader;
mod redefine;
mod resolvers;
mod translate;
mod xml;

pub use reader::Rest;
pub use redefine::redefine;
pub use translate::{Left, Surroundings, Translation, translate};
pub use xml::Network;
