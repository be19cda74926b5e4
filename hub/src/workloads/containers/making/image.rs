//! The image that a container is made from is there before it is made.

use super::engine::Maker;
use crate::error::{ApiError, ApiResult, sentence};
use crate::jobs::{JobError, JobHandle};
use crate::workloads::containers::spec::{ContainerSpec, PullPolicy};
use crate::workloads::images::{self, ImageReference, Platform, PullRequest, RegistryLogin};

/// What begins an image that is meant by its id.
const BY_ID: &str = "sha256:";

/// Whether an image can be asked for as the specification does.
///
/// # Errors
/// Where its name or its platform is none.
pub fn check(spec: &ContainerSpec) -> ApiResult<()> {
    let wrong = |error: &dyn std::error::Error, field: &str| {
        let message = format!("{field}: {}", sentence(error));
        ApiError::bad_request("invalid_spec", message).with_details(serde_json::json!({ "field": field }))
    };
    platform(spec).map_err(|error| wrong(&error, "platform"))?;
    if is_id(&spec.image) && spec.pull == PullPolicy::Always {
        return Err(ApiError::bad_request("invalid_spec", "pull: An image's id cannot be pulled: name the image."));
    }
    if is_id(&spec.image) {
        return Ok(());
    }
    let reference: Result<ImageReference, _> = spec.image.parse();
    reference.map(drop).map_err(|error| wrong(&error, "image"))
}

/// Sees that the image is there, and pulls it where it must be, with `login`
/// for its registry.
///
/// # Errors
/// Where it cannot be pulled, or must not.
pub async fn provide(
    maker: &Maker,
    spec: &ContainerSpec,
    login: Option<&RegistryLogin>,
    job: &JobHandle,
) -> Result<(), JobError> {
    let is_there = !job.unless_told_to_end(maker.image(&spec.image)).await??.is_null();
    match spec.pull {
        PullPolicy::Never | PullPolicy::Missing if is_there => return Ok(()),
        PullPolicy::Missing | PullPolicy::Always if !is_id(&spec.image) => {}
        PullPolicy::Never | PullPolicy::Missing | PullPolicy::Always => {
            let message = format!("The engine has no image {}, and it is not pulled.", spec.image);
            return Err(JobError::fail("image_missing", message));
        }
    }
    job.step("pull");
    let reference: ImageReference = spec.image.parse().map_err(ApiError::internal)?;
    let platform = platform(spec).map_err(ApiError::internal)?;
    let (engines, session) = maker.parts();
    let request = PullRequest { reference, platform, login: login.cloned() };
    images::pull(engines, session, &request, job).await?;
    Ok(())
}

fn platform(spec: &ContainerSpec) -> Result<Option<Platform>, images::InvalidPlatform> {
    spec.platform.clone().map(Platform::try_from).transpose()
}

/// Whether an image is meant by its id, whole or in part.
fn is_id(image: &str) -> bool {
    image.starts_with(BY_ID)
}
