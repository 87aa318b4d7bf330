use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Loaded::parse(Path::new("lab.toml"), text, None).map(|loaded| loaded.config)
}

#[test]
fn an_empty_file_is_the_built_in_network() {
    assert_eq!(parse("").unwrap(), Config::built_in(NetworkName::default()));
}
