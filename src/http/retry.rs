//! When a failed request is worth another attempt, and after how long. Pure: the caller brings the
//! chance and does the waiting.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::http_date;

/// Attempts to reach a peer that does not answer at all.
const UNSENT_ATTEMPTS: u32 = 3;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with an HTTP status of 400 or above.
    Status(u16),
    /// There was no connection, so the peer has seen nothing of the request.
    Unsent,
    /// The connection broke or fell silent; the peer may have done what was asked.
    Broken,
}

#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The first one included.
    pub attempts: u32,
    /// Before the second attempt; doubled each time.
    pub first_delay: Duration,
    pub longest_delay: Duration,
    /// A peer that wants more time than this gets no other attempt.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    /// Under five minutes in all, whatever the peer asks for.
    fn default() -> Self {
        Self {
            attempts: 6,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(15),
            longest_wait: Duration::from_secs(55),
        }
    }
}

impl RetryPolicy {
    /// One attempt.
    pub const NEVER: Self = Self {
        attempts: 1,
        first_delay: Duration::ZERO,
        longest_delay: Duration::ZERO,
        longest_wait: Duration::ZERO,
    };

    /// How long to wait before the next attempt; `None` to give up.
    ///
    /// `attempt` counts those made, from one; `jitter`, from 0 to 1, spreads clients that failed
    /// together. It is for requests that do no harm when the peer has seen them before.
    #[must_use]
    pub fn delay(
        &self,
        attempt: u32,
        outcome: Outcome,
        retry_after: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        let worthwhile = match outcome {
            Outcome::Unsent | Outcome::Broken => true,
            // Asked to come again, or a fault that may pass.
            Outcome::Status(status) => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
        };
        // That there is nobody seldom passes, and is mostly a name that was mistyped.
        let attempts = match outcome {
            Outcome::Unsent => self.attempts.min(UNSENT_ATTEMPTS),
            Outcome::Broken | Outcome::Status(_) => self.attempts,
        };
        if !worthwhile || attempt >= attempts {
            return None;
        }
        let doubled = self.first_delay.saturating_mul(1 << (attempt - 1).min(16));
        let own = doubled.min(self.longest_delay).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        match retry_after {
            Some(wait) if wait > self.longest_wait => None,
            Some(wait) => Some(wait.max(own)),
            None => Some(own),
        }
    }
}

/// A chance from 0 to 1 for [`RetryPolicy::delay`].
pub(crate) fn jitter() -> f64 {
    let chance = RandomState::new().build_hasher().finish() >> 32;
    #[expect(clippy::cast_precision_loss, reason = "32 bits fit")]
    let chance = chance as f64;
    chance / f64::from(u32::MAX)
}

/// `Retry-After`, in seconds or as a date; a date counts from the answer's own `Date`, so that two
/// clocks are never compared.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let sent = http_date(headers.get(DATE)?.to_str().ok()?)?;
    let seconds = http_date(text)?.saturating_sub(sent);
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_the_rest_is_not() {
        let policy = RetryPolicy::default();
        let tried = |outcome| policy.delay(1, outcome, None, 0.0).is_some();
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(tried(Outcome::Status(status)), "{status}");
        }
        for status in [400, 401, 403, 404, 413, 416, 501] {
            assert!(!tried(Outcome::Status(status)), "{status}");
        }
        assert!(tried(Outcome::Unsent) && tried(Outcome::Broken));
    }

    #[test]
    fn delays_grow_to_a_limit_and_end() {
        let policy = RetryPolicy { attempts: 40, ..RetryPolicy::default() };
        let delay = |attempt, jitter| policy.delay(attempt, Outcome::Broken, None, jitter);
        assert_eq!(delay(1, 1.0), Some(Duration::from_millis(500)));
        assert_eq!(delay(1, 0.0), Some(Duration::from_millis(250)));
        assert_eq!(delay(3, 1.0), Some(Duration::from_secs(2)));
        assert_eq!(delay(39, 1.0), Some(Duration::from_secs(15)));
        assert_eq!(delay(40, 1.0), None);
    }

    #[test]
    fn the_peers_wish_counts_up_to_a_limit() {
        let policy = RetryPolicy::default();
        let delay = |seconds| {
            let wish = Some(Duration::from_secs(seconds));
            policy.delay(1, Outcome::Status(429), wish, 1.0)
        };
        assert_eq!(delay(0), Some(Duration::from_millis(500)));
        assert_eq!(delay(7), Some(Duration::from_secs(7)));
        assert_eq!(delay(3600), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let headers = |after: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, after.parse().unwrap());
            headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
            headers
        };
        for (text, expected) in [
            ("3", Some(3)),
            ("Sun, 06 Nov 1994 08:50:00 GMT", Some(23)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
        ] {
            assert_eq!(retry_after(&headers(text)), expected.map(Duration::from_secs), "{text}");
        }
    }
}
