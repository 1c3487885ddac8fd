//! A root file system for a RUN out of layers.
