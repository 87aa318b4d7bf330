//! A TFTP request, and what its client sends then.
//!
//! The input: a byte of flags, a request behind its length, then packets, each
//! behind the time that it takes and its length.
//!
//! What has to hold: nothing outside the root is opened; what is agreed to lies
//! within its bounds; no more than a window is sent, nothing ahead of it, and
//! every block is the file's; the clock always goes on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use vmlan_fuzz::input::Input;
use vmlan_fuzz::tftp::content::Content;
use vmlan_fuzz::tftp::name;
use vmlan_fuzz::tftp::options::{Agreed, LARGEST_WINDOW, LEAST_BLOCK, agree};
use vmlan_fuzz::tftp::packet::{Mode, Packet, begin_data, error};
use vmlan_fuzz::tftp::root::{self, Opened};
use vmlan_fuzz::tftp::transfer::{Step, Transfer};

/// The largest block that the server sends.
const LARGEST: u16 = 1468;

/// The two files in the root, and their text.
const FILES: [&str; 2] = ["f", "d/g"];
const TEXT: &[u8] = b"line\nand\rend\0of it";
const TIMES: usize = 200;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let flags = input.byte();
    let mut request = input.counted().to_vec();
    if flags & 2 != 0 && request.len() > 2 {
        // A name in the host's file system.
        request.splice(2..2, folder().as_os_str().as_bytes().iter().copied());
    }
    let Ok(Packet::Read(request)) = Packet::parse(&request) else {
        return;
    };
    let lowercase = flags & 1 != 0;
    let Some(path) = name::path(request.file, folder(), lowercase) else {
        return;
    };
    let opened = match root::open(folder(), &path) {
        Ok(opened) => opened,
        Err(refusal) => {
            let (code, words) = refusal.answer();
            assert!(error(code, words).len() <= 512);
            return;
        }
    };
    let inode = opened.file.metadata().expect("an open file").ino();
    assert!(inodes().contains(&inode), "{path:?} is outside the root");
    let agreed = agree(&request, opened.size, LARGEST);
    assert!(
        (LEAST_BLOCK..=LARGEST).contains(&agreed.block),
        "{agreed:?}"
    );
    assert!((1..=LARGEST_WINDOW).contains(&agreed.window), "{agreed:?}");
    assert!(
        agreed
            .packet
            .as_ref()
            .is_none_or(|packet| packet.len() <= 512)
    );
    transfer(opened, &agreed, request.mode, &mut input);
});

fn transfer(opened: Opened, agreed: &Agreed, mode: Mode, input: &mut Input<'_>) {
    let plain = TEXT.repeat(TIMES);
    let mut content = Content::new(opened.file, opened.size, mode, agreed.block);
    let mut now = Instant::now();
    let (mut transfer, mut step) = Transfer::begin(agreed, now);
    // The blocks that were sent so far without a gap.
    let (mut sent, mut last) = (0, None);
    let mut packet = Vec::new();
    loop {
        match step {
            Step::End(_) => return,
            Step::Wait | Step::Options => {}
            Step::Blocks(blocks) => {
                let (first, end) = (*blocks.start(), *blocks.end());
                assert!(first <= sent + 1, "a gap: {blocks:?} after {sent}");
                assert!(end < first + u64::from(agreed.window), "{blocks:?}");
                assert!(
                    last.is_none_or(|last| end <= last),
                    "{blocks:?} after the end"
                );
                for number in blocks {
                    begin_data(&mut packet, number);
                    let ends = content.block(number, &mut packet).expect("a file to read");
                    let block = packet.get(4..).unwrap_or_default();
                    assert!(block.len() <= agreed.block.into());
                    assert_eq!(ends, block.len() < usize::from(agreed.block));
                    if mode == Mode::Octet {
                        let at = (number as usize - 1) * usize::from(agreed.block);
                        assert_eq!(plain.get(at..at + block.len()), Some(block));
                    }
                    sent = sent.max(number);
                    if ends {
                        transfer.ends_with(number);
                        last = Some(number);
                        break;
                    }
                }
            }
        }
        if input.is_empty() {
            break;
        }
        now += Duration::from_millis(u64::from(input.byte()) * 40);
        step = if now >= transfer.deadline() {
            transfer.expired(now)
        } else {
            match Packet::parse(input.counted()) {
                Ok(packet) => transfer.receive(&packet, now),
                Err(_) => Step::Wait,
            }
        };
    }
    // Nobody is heard any more.
    for _ in 0..200 {
        let deadline = transfer.deadline();
        assert!(deadline >= now, "the clock goes back");
        now = deadline;
        if let Step::End(_) = transfer.expired(now) {
            return;
        }
    }
    panic!("no end");
}

/// The root: two files, links that stay and links that leave, and files beside
/// it that nobody may have.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // Whoever starts this removes the folder for temporary files.
        let outside = std::env::temp_dir().join(format!("vmlan-tftp-{}", std::process::id()));
        let root = outside.join("r");
        fs::create_dir_all(root.join("d")).expect("a folder");
        for file in FILES
            .map(|file| root.join(file))
            .iter()
            .chain([&outside.join("x")])
        {
            fs::write(file, TEXT.repeat(TIMES)).expect("a file");
            fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("its mode");
        }
        for (to, link) in [
            ("f", "l"),
            ("../x", "o"),
            ("/", "a"),
            ("..", "u"),
            ("d/..", "s"),
        ] {
            symlink(to, root.join(link)).expect("a link");
        }
        root
    })
}

fn inodes() -> &'static Vec<u64> {
    static INODES: OnceLock<Vec<u64>> = OnceLock::new();
    INODES.get_or_init(|| {
        let inode = |file| fs::metadata(folder().join(file)).expect("a file").ino();
        FILES.map(inode).to_vec()
    })
}
