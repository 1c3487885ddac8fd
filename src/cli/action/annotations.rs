//! Which annotations the image gets.

use crate::cli::annotation;
use crate::cli::flag::FlagError;
use crate::error::Error;
use crate::github::naming::Naming;
use crate::request::{Annotation, BuildRequest};

use super::job::Job;

/// Adds to the request what its platforms and outputs have a place for, and tells of the rest. `others`
/// are `LEVEL:NAME=VALUE`, besides those of the inputs.
///
/// # Errors
/// An annotation can't be read.
pub fn settle(
    job: &Job<'_>,
    naming: &Naming,
    others: &[String],
    request: &mut BuildRequest,
) -> Result<(), Error> {
    let has_index = request.has_index();
    // A run that pushes nothing, such as that of a pull request, has no index yet.
    let will_have_index = request.outputs.is_empty() && !request.attest.is_empty();
    for text in naming.annotations_to_set(has_index).iter().chain(others) {
        let wrong = |error: FlagError| error.of_flag_alone(&format!("annotation {text}"));
        for annotation in annotation::parse(text).map_err(wrong)? {
            match no_place(&annotation, request, has_index) {
                None => request.annotations.push(annotation),
                Some(_) if will_have_index && annotation.level.is_of_index() => {}
                Some(why) => {
                    job.warn(format!("the annotation {} is left out: {why}", annotation.name));
                }
            }
        }
    }
    Ok(())
}

/// Why nothing of the image can have the annotation.
fn no_place(annotation: &Annotation, request: &BuildRequest, has_index: bool) -> Option<String> {
    if annotation.level.is_of_index() && !has_index {
        return Some("there is no index".to_owned());
    }
    let platform = annotation.platform.as_ref()?;
    let is_built = request.platforms.contains(platform);
    (!is_built).then(|| format!("there is no image for {platform}"))
}
