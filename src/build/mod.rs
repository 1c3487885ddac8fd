//! The engine: walks the plan, asks the cache, runs what must run.
