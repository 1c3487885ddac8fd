//! Local store: blobs, unpacked layers, records, cache mounts.
