//! Test fixture: a network namespace for one closure. It lives as long as the
//! thread that runs it, so that a test that fails leaves nothing behind.

use rustix::thread::UnshareFlags;
use std::future::Future;
use std::process::Command;

/// Runs `test` on a thread in an empty network namespace of its own; a panic
/// in there fails the caller.
pub(crate) fn in_new_netns<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            #[expect(
                deprecated,
                reason = "unsafe only for a shared descriptor table, which NEWNET does not touch"
            )]
            rustix::thread::unshare(UnshareFlags::NEWNET)
                .expect("this test makes a network namespace: run it as root");
            test()
        });
        match thread.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// [`in_new_netns`] for a future, on a runtime like the daemon's.
pub(crate) fn block_on_in_new_netns<F: Future>(test: impl FnOnce() -> F + Send) -> F::Output
where
    F::Output: Send,
{
    in_new_netns(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async { test().await })
    })
}

/// Runs `ip` with `arguments`, split at spaces, in the caller's namespace.
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("the test needs `ip` (package iproute2)");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
