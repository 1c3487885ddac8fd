//! A blob for those who read synchronously.

use tokio::runtime::Handle;

use super::{Error, Reference, Registry};
use crate::http::StreamReader;
use crate::image::Descriptor;

impl Registry {
    /// The same as [`Registry::blob`] for a synchronous reader, which must not run on `runtime`'s
    /// own threads.
    #[must_use]
    pub fn blob_reader(
        &self,
        runtime: &Handle,
        image: &Reference,
        blob: &Descriptor,
    ) -> StreamReader<Error> {
        StreamReader::new(runtime, self.blob(image, blob))
    }
}
