//! Pull, push, mount, resolve, credentials, mirrors, retries.
