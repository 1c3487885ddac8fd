//! The HTTP client that registries and downloads share: roots, proxies, time limits.
