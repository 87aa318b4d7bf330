//! What a client can boot as (option 93, RFC 4578 §2.1).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A client's architecture, as it was given: by a name, which can stand for
/// several numbers, or by its number of the IANA's list of processor
/// architecture types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Architecture {
    name: Option<&'static str>,
    codes: [u16; 2],
}

/// Names with their numbers, those that a message suggests first: ours, then
/// dnsmasq's of `pxe-service`.
///
/// The numbers 7 and 9 changed their meaning (RFC 4578 erratum 4625, RFC 5970
/// §6): x86-64 firmware sends either, so that its name stands for both.
const NAMES: &[(&str, [u16; 2])] = &[
    ("x86-bios", [0, 0]),
    ("x86-efi", [6, 6]),
    ("x86_64-efi", [7, 9]),
    ("arm32-efi", [10, 10]),
    ("arm64-efi", [11, 11]),
    ("ppc-open-firmware", [12, 12]),
    ("ppc-epapr", [13, 13]),
    ("ppc-opal", [14, 14]),
    ("x86-efi-http", [15, 15]),
    ("x86_64-efi-http", [16, 16]),
    ("ebc-http", [17, 17]),
    ("arm32-efi-http", [18, 18]),
    ("arm64-efi-http", [19, 19]),
    ("x86-bios-http", [20, 20]),
    ("arm32-uboot", [21, 21]),
    ("arm64-uboot", [22, 22]),
    ("arm32-uboot-http", [23, 23]),
    ("arm64-uboot-http", [24, 24]),
    ("riscv32-efi", [25, 25]),
    ("riscv32-efi-http", [26, 26]),
    ("riscv64-efi", [27, 27]),
    ("riscv64-efi-http", [28, 28]),
    ("riscv128-efi", [29, 29]),
    ("riscv128-efi-http", [30, 30]),
    ("s390-basic", [31, 31]),
    ("s390-extended", [32, 32]),
    ("mips32-efi", [33, 33]),
    ("mips64-efi", [34, 34]),
    ("sunway32-efi", [35, 35]),
    ("sunway64-efi", [36, 36]),
    ("loongarch32-efi", [37, 37]),
    ("loongarch32-efi-http", [38, 38]),
    ("loongarch64-efi", [39, 39]),
    ("loongarch64-efi-http", [40, 40]),
    ("arm-rpiboot", [41, 41]),
    ("x86PC", [0, 0]),
    ("PC98", [1, 1]),
    ("IA64_EFI", [2, 2]),
    ("Alpha", [3, 3]),
    ("Arc_x86", [4, 4]),
    ("Intel_Lean_Client", [5, 5]),
    ("IA32_EFI", [6, 6]),
    ("x86-64_EFI", [7, 9]),
    ("Xscale_EFI", [8, 8]),
    ("BC_EFI", [9, 9]),
    ("ARM32_EFI", [10, 10]),
    ("ARM64_EFI", [11, 11]),
];

/// A text that is no architecture.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is no architecture: take a number from 0 to 65535 or a name such as \"x86_64-efi\"")]
pub struct UnknownArchitecture(String);

impl Architecture {
    /// Every name that there is.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// Whether a client is this that says it can boot as `architectures`.
    #[must_use]
    pub fn is_among(&self, architectures: &[u16]) -> bool {
        architectures.iter().any(|code| self.codes.contains(code))
    }
}

impl From<u16> for Architecture {
    fn from(code: u16) -> Self {
        Self {
            name: None,
            codes: [code, code],
        }
    }
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    /// A number, or a name in any case.
    fn from_str(text: &str) -> Result<Self, UnknownArchitecture> {
        if let Ok(code) = text.parse::<u16>() {
            return Ok(code.into());
        }
        let named = NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        let (name, codes) = named.ok_or_else(|| UnknownArchitecture(text.to_owned()))?;
        Ok(Self {
            name: Some(name),
            codes: *codes,
        })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self {
                name: Some(name), ..
            } => f.write_str(name),
            Self {
                codes: [code, _], ..
            } => code.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_number_stands_for_its_numbers() {
        let arch = |text: &str| text.parse::<Architecture>().unwrap();
        assert!(arch("x86_64-efi").is_among(&[7]) && arch("X86-64_EFI").is_among(&[9]));
        assert!(arch("16").is_among(&[0, 16]) && !arch("16").is_among(&[0]));
        assert!(!arch("x86PC").is_among(&[]));
        assert_eq!(
            (arch("ARM64_efi").to_string(), arch("7").to_string()),
            ("ARM64_EFI".into(), "7".into())
        );
        for bad in ["", "-1", "65536", "x86"] {
            assert!(bad.parse::<Architecture>().is_err(), "{bad}");
        }
    }
}
