//! A folder whose every step is recorded, so that the power can be cut behind
//! each: what was synced is there then, and of the rest whatever part.

use crate::host::leases::Disk;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

/// Something done to the folder. Files are numbered.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Create(String, usize),
    Append(usize, Vec<u8>),
    Sync(usize),
    SyncNames,
    Rename(String, String),
    Link(String, String),
    Remove(String),
}

#[derive(Debug, Default)]
pub(crate) struct PowerDisk(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    steps: Vec<Step>,
    /// Steps until one fails.
    fail_after: Option<usize>,
}

impl PowerDisk {
    /// What is there after the power was cut behind `steps`: a choice by `seed`
    /// of what was not synced. Names change in their order; of a file any part
    /// of what was appended may be there, the rest missing, zeros or rubbish.
    pub(crate) fn after(steps: &[Step], seed: u64) -> Self {
        let mut random = numbers(seed);
        let synced_names = steps.iter().rposition(|s| matches!(s, Step::SyncNames));
        let unsynced = synced_names.map_or(0, |at| at + 1)..steps.len();
        let kept_names = unsynced.start + random(unsynced.len() + 1);
        let mut state = State::default();
        for (at, step) in steps.iter().enumerate() {
            if let Step::Create(_, file) = step {
                state.files.resize(file + 1, Vec::new());
            }
            if at < kept_names {
                state.name(step);
            }
        }
        for file in 0..state.files.len() {
            let synced = steps
                .iter()
                .rposition(|s| matches!(s, Step::Sync(f) if *f == file));
            for (at, step) in steps.iter().enumerate() {
                let Step::Append(of, bytes) = step else {
                    continue;
                };
                if *of != file {
                    continue;
                }
                if synced.is_some_and(|synced| at < synced) {
                    state.files[file].extend(bytes);
                    continue;
                }
                let kept = random(bytes.len() + 1);
                state.files[file].extend(&bytes[..kept]);
                let rest = &bytes[kept..];
                match random(3) {
                    0 => {}
                    1 => state.files[file].extend(rest.iter().map(|_| 0)),
                    _ => state.files[file].extend(rest.iter().map(|b| b ^ 0x55)),
                }
                // What follows lies behind a hole, and makes it look like damage.
                break;
            }
        }
        Self(Mutex::new(state))
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        self.state().steps.clone()
    }

    /// Has the next step but `steps` fail.
    pub(crate) fn fail_after(&self, steps: usize) {
        self.state().fail_after = Some(steps);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// Numbers below a bound, by `seed`.
fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |bound| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}

impl State {
    /// Does what `step` does to the names.
    fn name(&mut self, step: &Step) {
        match step {
            Step::Create(name, file) => drop(self.names.insert(name.clone(), *file)),
            Step::Rename(from, to) => {
                let file = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), file);
            }
            Step::Link(from, to) => {
                let file = self.names[from];
                self.names.insert(to.clone(), file);
            }
            Step::Remove(name) => drop(self.names.remove(name)),
            Step::Append(..) | Step::Sync(_) | Step::SyncNames => {}
        }
    }

    fn step(&mut self, step: Step) -> io::Result<()> {
        if let Some(left) = &mut self.fail_after {
            if *left == 0 {
                self.fail_after = None;
                return Err(io::ErrorKind::StorageFull.into());
            }
            *left -= 1;
        }
        self.name(&step);
        self.steps.push(step);
        Ok(())
    }
}

impl Disk for PowerDisk {
    type File = usize;

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let state = self.state();
        Ok(state.names.get(name).map(|file| state.files[*file].clone()))
    }

    fn create(&self, name: &str) -> io::Result<usize> {
        let mut state = self.state();
        let file = state.files.len();
        state.step(Step::Create(name.to_owned(), file))?;
        state.files.push(Vec::new());
        Ok(file)
    }

    fn append(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let written = state.step(Step::Append(*file, bytes.to_vec()));
        let kept = match written {
            Ok(()) => bytes,
            // A full disk takes what fits.
            Err(_) => &bytes[..bytes.len() / 2],
        };
        state.files[*file].extend(kept);
        if written.is_err() {
            state.steps.push(Step::Append(*file, kept.to_vec()));
        }
        written
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        self.state().step(Step::Sync(*file))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.state().step(Step::SyncNames)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state()
            .step(Step::Rename(from.to_owned(), to.to_owned()))
    }

    fn keep(&self, name: &str) -> io::Result<String> {
        let mut state = self.state();
        let free = |n: &u32| !state.names.contains_key(&format!("{name}.bad-{n}"));
        let kept = format!("{name}.bad-{}", (1..).find(free).unwrap());
        state.step(Step::Link(name.to_owned(), kept.clone()))?;
        Ok(kept)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state().step(Step::Remove(name.to_owned()))
    }

    fn shown(&self, name: &str) -> PathBuf {
        name.into()
    }
}
