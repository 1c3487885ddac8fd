//! A build result as terminal text and JSON.
