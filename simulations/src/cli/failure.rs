//! Why the program ends without success: one sentence for a person, one number for a script.

use treehouse_sim::{scenario::ScenarioError, sweep::SweepError};

/// Wrong use that the command line's own definition cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Somebody asked it to stop. What was finished is kept, and the sentence says where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Interrupted(pub String);

/// The exit status: 2 for wrong use and wrong scenarios, 130 for an interruption (128 and the number of SIGINT, as shells have
/// it), 1 for the rest.
pub fn exit_status(error: &anyhow::Error) -> u8 {
    let wrong_sweep = matches!(error.downcast_ref(), Some(SweepError::Wrong(_)));
    if error.is::<Usage>() || error.is::<ScenarioError>() || wrong_sweep {
        2
    } else if error.is::<Interrupted>() {
        130
    } else {
        1
    }
}

/// A setting as the command line gives it: `key=value`.
///
/// # Errors
/// [`Usage`] where there is no `=`, or nothing before it.
pub fn setting(given: &str) -> Result<(String, String), Usage> {
    match given.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => {
            Err(Usage(format!("--set {given} is no setting: give a key and its value, for example --set members=2000")))
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_status_is_found_through_what_was_said_around_it() {
        let wrong: Result<(), _> = Err(Usage("no".to_owned()));
        assert_eq!(exit_status(&wrong.context("around").expect_err("it is one")), 2);
        assert_eq!(exit_status(&Interrupted(String::new()).into()), 130);
        assert_eq!(exit_status(&SweepError::Wrong(String::new()).into()), 2);
        assert_eq!(exit_status(&anyhow::anyhow!("else")), 1);
    }

    #[test]
    fn a_setting_is_a_key_and_a_value() {
        assert_eq!(setting("a.b = x=y").expect("a setting"), ("a.b".to_owned(), "x=y".to_owned()));
        assert!(setting("members").is_err());
        assert!(setting("=5").is_err());
    }
}
