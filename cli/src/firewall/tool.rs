//! Runs another program of the host to its end: `nft`, `iptables`,
//! `firewall-cmd`. The daemon's thread goes on meanwhile.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The time that a program may take. `iptables` waits for a lock of others,
/// `firewall-cmd` for a daemon that starts.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Where these programs are, beside PATH: it may lack the folders of root.
const FOLDERS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// A program of the host has not done what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// It is not there, or cannot be started.
    #[error("cannot run `{program}`{}", mend(.source, .package))]
    Start {
        /// Its name.
        program: &'static str,
        /// The package that has it, in Debian and Fedora.
        package: &'static str,
        /// The answer.
        source: io::Error,
    },
    /// It said no.
    #[error("`{command}` failed ({status}): {said}")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its words, on one line.
        said: String,
    },
    /// It did not end.
    #[error("`{command}` has not ended within {} s and was stopped", TIMEOUT.as_secs())]
    Hung {
        /// What was run.
        command: String,
    },
    /// It said what nobody understands.
    #[error("what `{command}` says cannot be read: {why}")]
    Strange {
        /// What was run.
        command: String,
        /// What is wrong with it.
        why: String,
    },
}

fn mend(error: &io::Error, package: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!(": it is not installed (the package {package} has it)"),
        _ => String::new(),
    }
}

/// A program of the host, and the package that it comes in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    pub(super) program: &'static str,
    pub(super) package: &'static str,
}

impl Tool {
    /// Runs it with `arguments` and `input` to its end, and gives what it
    /// printed.
    ///
    /// # Errors
    /// [`ToolError`]; an exit status other than 0 is [`ToolError::Failed`].
    pub(super) async fn run(self, arguments: &[&str], input: &[u8]) -> Result<String, ToolError> {
        let start = |source| ToolError::Start {
            program: self.program,
            package: self.package,
            source,
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let mut child = Command::new(self.program)
            .args(arguments)
            .env("PATH", format!("{path}:{FOLDERS}"))
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A second Ctrl-C is not for it: it may be removing what was made.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        let stdin = child.stdin.take();
        let fed = async {
            if let Some(mut stdin) = stdin {
                // One that does not read to the end says why itself.
                let _ = stdin.write_all(input).await;
            }
        };
        let ended = async { tokio::join!(fed, child.wait_with_output()).1 };
        let output = match tokio::time::timeout(TIMEOUT, ended).await {
            Ok(output) => output.map_err(start)?,
            Err(_) => {
                return Err(ToolError::Hung {
                    command: self.command(arguments),
                });
            }
        };
        if !output.status.success() {
            let text = [output.stderr.as_slice(), output.stdout.as_slice()].concat();
            let text = String::from_utf8_lossy(&text);
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            return Err(ToolError::Failed {
                command: self.command(arguments),
                status: output.status,
                said: lines.take(3).collect::<Vec<_>>().join("; "),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What a person would type.
    pub(super) fn command(self, arguments: &[&str]) -> String {
        let mut text = self.program.to_owned();
        for argument in arguments {
            text.push(' ');
            text.push_str(argument);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(program: &'static str, arguments: &[&str]) -> Result<String, ToolError> {
        let package = "some-package";
        Tool { program, package }.run(arguments, b"in").await
    }

    #[tokio::test]
    async fn what_a_program_says_is_given_or_told_in_the_error() {
        assert_eq!(run("cat", &[]).await.unwrap(), "in");
        let error = run("sh", &["-c", "echo no >&2; exit 3"]).await.unwrap_err();
        assert!(
            error.to_string().contains("(exit status: 3): no"),
            "{error}"
        );
        let error = run("vmlan-no-such", &[]).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the package some-package has it")
        );
    }
}
