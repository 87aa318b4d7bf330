//! A frame and the virtio-net header that comes with it, on its way through the
//! switch, from the check of the header to what another port is given.
//!
//! The input: two bytes from which ports and what they can do are drawn, a
//! header of 10 bytes, the frame.
#![no_main]

use fastrand::Rng;
use libfuzzer_sys::fuzz_target;
use vmlan_dataplane::frame::vnet::{LEGACY_LEN, VnetHeader};
use vmlan_fuzz::hostile::link::Link;
use vmlan_fuzz::hostile::tally::Tally;
use vmlan_fuzz::input::Input;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let seed = input.word().into();
    let header: [u8; LEGACY_LEN] = input.array();
    let header = VnetHeader::from_legacy(&header).expect("a header of its length");
    let frame = input.rest();
    let mut rng = Rng::with_seed(seed);
    let (mut link, mut tally) = (Link::new(seed), Tally::default());
    // The second time it meets what the first one left.
    for _ in 0..2 {
        if let Err(error) = link.put(&mut rng, &header, frame, &mut tally) {
            panic!("{error:#}");
        }
    }
});
