//! Where COPY and ADD read from: walking, content digests, downloads.
