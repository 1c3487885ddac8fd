//! Running one command isolated. All `unsafe` lives here.
