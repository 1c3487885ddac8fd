//! A blob for those who read synchronously.

use tokio::runtime::Handle;

use super::{Error, Reference, Registry};
use crate::http::StreamReader;
use crate::image::Descriptor;

impl Registry {
    /// The same as [`Registry::blob`] for a synchronous reader, which must not run on `runtime`'s
    /// own threads. It ends with an error when `stop` comes first.
    #[must_use]
    pub fn blob_reader(
        &self,
        runtime: &Handle,
        image: &Reference,
        blob: &Descriptor,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> StreamReader<Error> {
        StreamReader::new(runtime, self.blob(image, blob), stop)
    }
}
