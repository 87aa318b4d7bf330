//! The rules of the hostile inputs, see `tests/src/hostile/mod.rs`.

#[path = "../../tests/src/hostile/corpus.rs"]
pub mod corpus;
#[path = "../../tests/src/hostile/egress.rs"]
pub mod egress;
#[path = "../../tests/src/hostile/honest.rs"]
pub mod honest;
#[path = "../../tests/src/hostile/lease.rs"]
pub mod lease;
#[path = "../../tests/src/hostile/link.rs"]
pub mod link;
#[path = "../../tests/src/hostile/message.rs"]
pub mod message;
#[path = "../../tests/src/hostile/mutate.rs"]
pub mod mutate;
#[path = "../../tests/src/hostile/options.rs"]
pub mod options;
#[path = "../../tests/src/hostile/oracle.rs"]
pub mod oracle;
#[path = "../../tests/src/hostile/recorder.rs"]
pub mod recorder;
#[path = "../../tests/src/hostile/tally.rs"]
pub mod tally;
