//! Bytes: tar ↔ tree, overlay upper → tar, compression, digests, safe unpacking; always streaming.
