//! What libp2p's errors mean to the person who reads them.

use std::{error::Error, io};

use libp2p::{TransportError, swarm::DialError};

use crate::dial::no_answer;

const UNSUPPORTED: &str = "this node cannot dial this kind of address";

/// Why one address failed, as the end of the sentence "the address failed: ...".
pub(crate) fn dial_reason(error: &DialError) -> String {
    match error {
        DialError::LocalPeerId { .. } => "this node itself answers there".into(),
        DialError::WrongPeerId { obtained, .. } => format!("another node answers there: {obtained}"),
        DialError::NoAddresses => "there is no address".into(),
        DialError::Aborted | DialError::DialPeerConditionFalse(_) => "the attempt was abandoned".into(),
        DialError::Denied { cause } => cause.source().map_or_else(|| cause.to_string(), ToString::to_string),
        DialError::Transport(attempts) => match attempts.first() {
            Some((_, TransportError::MultiaddrNotSupported(_))) => UNSUPPORTED.into(),
            Some((_, TransportError::Other(error))) => io_reason(error),
            None => "there is no address".into(),
        },
    }
}

/// What an I/O error, with all that it wraps, comes down to.
pub(crate) fn io_reason(error: &io::Error) -> String {
    let mut innermost = error.to_string();
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(reason) = error.downcast_ref::<io::Error>().and_then(|error| kind_reason(error.kind())) {
            return reason;
        }
        let text = error.to_string();
        if let Some(reason) = os_error(&text).and_then(|error| kind_reason(error.kind())) {
            return reason;
        }
        let lower = text.to_lowercase();
        if lower.contains("timed out") || lower.contains("timeout") {
            return no_answer();
        }
        if lower.contains("unsupported resolved") {
            return UNSUPPORTED.into();
        }
        if lower.contains("no record") || lower.contains("resolve") {
            return "its name does not resolve".into();
        }
        innermost = text;
        // An `io::Error` that wraps another error shows it only through `get_ref`.
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    one_line(&innermost)
}

fn kind_reason(kind: io::ErrorKind) -> Option<String> {
    use io::ErrorKind::*;
    let reason = match kind {
        ConnectionRefused => "it refused the connection",
        HostUnreachable | NetworkUnreachable | NetworkDown => "it cannot be reached from this network",
        ConnectionReset | ConnectionAborted | UnexpectedEof | BrokenPipe => "it broke the connection off",
        PermissionDenied => "this machine does not permit it",
        TimedOut => return Some(no_answer()),
        _ => return None,
    };
    Some(reason.into())
}

/// The operating system's error that a text ends with. Several of libp2p's error types show the I/O error that they
/// hold only as text.
pub(crate) fn os_error(text: &str) -> Option<io::Error> {
    let (_, code) = text.rsplit_once("(os error ")?;
    Some(io::Error::from_raw_os_error(code.split_once(')')?.0.parse().ok()?))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_are_left_only_as_text_are_understood() {
        let refused = io::Error::from_raw_os_error(111).to_string();
        assert_eq!(
            os_error(&format!("dial: {refused}")).map(|error| error.kind()),
            Some(io::ErrorKind::ConnectionRefused)
        );
        assert!(os_error("it went wrong").is_none());
    }

    #[test]
    fn errors_that_hide_in_others_are_found() {
        let refused = io::Error::other(io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused)));
        assert_eq!(io_reason(&refused), "it refused the connection");
        let silent = io::Error::other("Handshake with the remote timed out.");
        assert_eq!(io_reason(&silent), no_answer());
        assert_eq!(io_reason(&io::Error::other("odd\nthing")), "odd thing");
    }
}
