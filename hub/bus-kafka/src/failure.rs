//! librdkafka's errors as errors of the bus, by code and never by text.
//!
//! Texts of librdkafka can hold values of settings, so none of them travels: an error here holds the code only.

use std::time::Duration;

use minqiao_bus::BusError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What librdkafka or a broker answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {code}")]
pub struct Failure {
    /// What was asked.
    pub doing: &'static str,
    /// The answer.
    pub code: RDKafkaErrorCode,
}

/// The code within an error, also where the wrapper does not hand it out.
pub(crate) fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    match error {
        KafkaError::AdminOp(code) => *code,
        other => other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
    }
}

/// Why a broker keeps us out, if it does.
pub(crate) fn denied(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed => Some("user or password are wrong"),
        Code::UnsupportedSASLMechanism | Code::IllegalSASLState => Some("they do not take SCRAM-SHA-512 there"),
        Code::SSL => Some("TLS could not be set up: the port speaks no TLS, or a certificate is not trusted"),
        Code::TopicAuthorizationFailed => Some("no right to the topic"),
        Code::ClusterAuthorizationFailed => Some("no right to the cluster"),
        Code::GroupAuthorizationFailed => Some("no right to the reading group"),
        _ => None,
    }
}

/// Whether an answer means that nobody was there in time.
fn is_silence(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::UnknownPartition
            | Code::NoOffset
    )
}

/// An answer as an error of the bus.
pub(crate) fn failure(doing: &'static str, waited: Duration, code: RDKafkaErrorCode) -> BusError {
    if let Some(reason) = denied(code) {
        BusError::AccessDenied { reason }
    } else if is_silence(code) {
        BusError::TimedOut { doing, waited }
    } else {
        BusError::Storage(Box::new(Failure { doing, code }))
    }
}

/// A client that could not be made. The cause is logged without its values.
pub(crate) fn unusable(error: &KafkaError) -> BusError {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => tracing::error!(setting = key, "librdkafka refuses a setting"),
        // Names files and what OpenSSL thinks of them.
        KafkaError::ClientCreation(why) => tracing::error!(why, "librdkafka cannot make a client"),
        other => tracing::error!(code = ?code_of(other), "librdkafka cannot make a client"),
    }
    BusError::Misconfigured { key: "security", problem: "or another setting is refused by librdkafka, see the log" }
}
