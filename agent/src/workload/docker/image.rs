//! The image, fetched when it is wanted.

use std::time::{Duration, Instant};

use bollard::{models::ImageInspect, query_parameters::CreateImageOptionsBuilder};
use futures_util::StreamExt;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{
    config::{DockerConfig, Pull},
    engine::{Engine, Failure, failed, hung, shortened},
};

/// How often the progress is told.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// No image may declare more volumes.
const VOLUMES_MAX: usize = 32;

/// An image that the engine has.
#[derive(Debug)]
pub(super) struct Image {
    /// Its id, which no tag can move.
    pub(super) id: String,
    /// The directories that it declares to be volumes.
    pub(super) volumes: Vec<String>,
}

impl Image {
    fn of(inspected: ImageInspect, shown: &str) -> Result<Self, Failure> {
        let id =
            inspected.id.ok_or_else(|| Failure::new(format!("image {shown} has no id; pull it again")))?;
        let volumes = inspected.config.and_then(|config| config.volumes).unwrap_or_default();
        if volumes.len() > VOLUMES_MAX {
            return Err(Failure::new(format!(
                "image {shown} declares more than {VOLUMES_MAX} volumes; use another"
            )));
        }
        Ok(Self { id, volumes })
    }
}

/// The image if the engine has it.
pub(super) async fn find(engine: &Engine, image: &str) -> Result<Option<Image>, Failure> {
    match engine.call(&format!("look up image {image}"), engine.docker().inspect_image(image)).await {
        Ok(inspected) => Image::of(inspected, image).map(Some),
        Err(failure) if failure.is_absent() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The image, fetched as configured.
pub(super) async fn ensure(engine: &Engine, config: &DockerConfig) -> Result<Image, Failure> {
    let image = &config.image;
    let found = find(engine, image).await?;
    match (config.pull, found) {
        (Pull::Missing | Pull::Never, Some(found)) => return Ok(found),
        (Pull::Never, None) => return Err(Failure::new(missing(image))),
        (Pull::Missing, None) => pull(engine, image).await?,
        (Pull::Always, found) => {
            if let Err(failure) = pull(engine, image).await {
                let Some(found) = found else { return Err(failure) };
                warn!(image, error = failure.said, "the image is not fetched anew; the one at hand is used");
                return Ok(found);
            }
        }
    }
    find(engine, image).await?.ok_or_else(|| {
        Failure::new(format!("image {image} was fetched and is not there; try: docker pull {image}"))
    })
}

/// What to do about an image that is never fetched.
pub(super) fn missing(image: &str) -> String {
    format!(
        "the engine has no image {image} and \"pull\" is \"never\"; load it with: docker load or docker pull {image}"
    )
}

async fn pull(engine: &Engine, image: &str) -> Result<(), Failure> {
    let what = format!("fetch image {image}");
    let patience = engine.patience;
    let options = CreateImageOptionsBuilder::default().from_image(&tagged(image)).build();
    info!(image, "fetching the image");
    let docker = engine.patient(patience.pull_silence);
    let fetch = async {
        let mut progress = docker.create_image(Some(options), None, None);
        let mut told = Instant::now();
        loop {
            match timeout(patience.pull_silence, progress.next()).await {
                Err(_) => return Err(hung(&what, patience.pull_silence)),
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(failed(&what, &error)),
                Ok(Some(Ok(news))) if told.elapsed() >= TELL_EVERY => {
                    told = Instant::now();
                    let (layer, status) = (news.id.unwrap_or_default(), news.status.unwrap_or_default());
                    info!(image, layer, status = shortened(&status), "fetching the image");
                }
                Ok(Some(Ok(_))) => {}
            }
        }
    };
    timeout(patience.pull, fetch).await.unwrap_or_else(|_| Err(hung(&what, patience.pull)))?;
    info!(image, "fetched the image");
    Ok(())
}

/// Without a tag or digest the engine would fetch every tag.
fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        for (image, expected) in [
            ("renter", "renter:latest"),
            ("renter:1", "renter:1"),
            ("localhost:5000/renter", "localhost:5000/renter:latest"),
            ("localhost:5000/a/renter:1", "localhost:5000/a/renter:1"),
            ("renter@sha256:ab", "renter@sha256:ab"),
        ] {
            assert_eq!(tagged(image), expected);
        }
    }
}
