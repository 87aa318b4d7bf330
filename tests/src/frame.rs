//! Ethernet frames for tests that send them one by one.

/// A MAC as it stands in a frame.
pub type Mac = [u8; 6];

/// All stations.
pub const BROADCAST: Mac = [0xff; 6];

/// The MAC `52:54:00:00:00:NUMBER`.
#[must_use]
pub fn station(number: u8) -> Mac {
    [0x52, 0x54, 0, 0, 0, number]
}

/// A MAC in lower case with colons.
#[must_use]
pub fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// A frame of the local experimental EtherType 0x88B5 (IEEE 802 clause 9.2.3)
/// that nobody answers, 60 bytes, with `number` as its payload.
#[must_use]
pub fn plain(destination: Mac, source: Mac, number: u16) -> Vec<u8> {
    let mut frame = [destination, source].concat();
    frame.extend([0x88, 0xb5]);
    frame.extend(number.to_be_bytes());
    frame.resize(60, 0);
    frame
}

/// As [`plain`], as long as an MTU of 1500 allows.
#[must_use]
pub fn long(destination: Mac, source: Mac, number: u16) -> Vec<u8> {
    let mut frame = plain(destination, source, number);
    frame.resize(1514, 0);
    frame
}

/// Whether `frame` is one of [`plain`] or [`long`].
#[must_use]
pub fn is_plain(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x88, 0xb5])
}
