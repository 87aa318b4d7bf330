//! What a configuration names on the host, and whether it is there. The text
//! alone can make sense on another machine, so this is looked at apart from
//! it.

use super::{Config, ConfigError, Loaded, Problem, Source};
use rustix::fs::{Access, access};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use toml::Spanned;

impl Loaded {
    /// Whether the files that the configuration names can be used: the program
    /// of the hook, the root of the TFTP server.
    ///
    /// # Errors
    /// All that cannot, each at its place.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        // The built-in network names none.
        self.source
            .as_ref()
            .map_or(Ok(()), |source| check(&self.config, source))
    }
}

fn check(config: &Config, source: &Source) -> Result<(), ConfigError> {
    let mut problems = Vec::new();
    let mut found = |path: &Spanned<PathBuf>, look: fn(&Path) -> Result<(), Problem>| {
        if let Err(problem) = look(path.get_ref()) {
            problems.push((path.span(), problem));
        }
    };
    if let Some(hook) = config.dhcp.hook.as_ref().filter(|_| config.dhcp.enabled) {
        found(&hook.program, program);
    }
    if let Some(tftp) = &config.tftp {
        found(&tftp.root, folder);
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(ConfigError::new(source, problems))
}

fn program(path: &Path) -> Result<(), Problem> {
    let shown = path.display();
    let found = fs::metadata(path).map_err(|error| missing(path, &error))?;
    if !found.is_file() {
        return Err(Problem::new(format!("{shown} is no program"))
            .help("name the file itself, as \"/usr/local/bin/leases.sh\""));
    }
    access(path, Access::EXEC_OK).map_err(|_| {
        Problem::new(format!("{shown} is not executable")).help(format!("chmod +x {shown}"))
    })
}

fn folder(path: &Path) -> Result<(), Problem> {
    let found = fs::metadata(path).map_err(|error| missing(path, &error))?;
    if found.is_dir() {
        return Ok(());
    }
    Err(Problem::new(format!("{} is no folder", path.display()))
        .help("name the folder with the boot files, as \"/srv/tftp\""))
}

fn missing(path: &Path, error: &io::Error) -> Problem {
    let problem = Problem::new(format!("cannot find {}: {error}", path.display()));
    problem.help("make it first, or name another")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn checked(text: &str) -> Result<(), String> {
        let loaded = Loaded::parse(Path::new("x"), text, None).unwrap();
        loaded.check_files().map_err(|error| error.to_string())
    }

    #[test]
    fn files_that_are_not_there_are_named_with_their_places() {
        let error = checked(
            "[tftp]\nroot = \"/nonexistent/tftp\"\n[dhcp.hook]\nprogram = \"/nonexistent/hook\"",
        )
        .unwrap_err();
        assert!(
            error.contains("x:2:8: cannot find /nonexistent/tftp"),
            "{error}"
        );
        assert!(
            error.contains("x:4:11: cannot find /nonexistent/hook"),
            "{error}"
        );
    }

    #[test]
    fn a_program_has_to_be_executable_and_a_root_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let hook = folder.path().join("hook");
        fs::write(&hook, "#!/bin/sh\n").unwrap();
        let config = format!("[dhcp.hook]\nprogram = {hook:?}");
        let error = checked(&config).unwrap_err();
        assert!(error.contains("help: chmod +x"), "{error}");
        fs::set_permissions(&hook, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(checked(&config), Ok(()));

        let error = checked(&format!("[dhcp.hook]\nprogram = {:?}", folder.path())).unwrap_err();
        assert!(error.contains("is no program"), "{error}");
        let error = checked(&format!("[tftp]\nroot = {hook:?}")).unwrap_err();
        assert!(error.contains("is no folder"), "{error}");
        assert_eq!(
            checked(&format!("[tftp]\nroot = {:?}", folder.path())),
            Ok(())
        );
    }

    #[test]
    fn what_is_off_need_not_be_there() {
        let off = "[tftp]\nenabled = false\nroot = \"/nonexistent\"\n[dhcp]\nenabled = false\n\
                   [dhcp.hook]\nprogram = \"/nonexistent\"";
        assert_eq!(checked(off), Ok(()));
        assert_eq!(checked(""), Ok(()));
    }
}
