//! A tier's spec -> the files of every platform. Pure: the same values give the same bytes.

use std::path::PathBuf;

use k8s_templates::ObjectError;

use crate::context::{self, Subject};
use crate::kubernetes::{self, Home};
use crate::overlay::{self, OverlayError};
use crate::set::{BadPath, RenderedSet};
use crate::system::SystemSpec;
use crate::templates::{TemplateError, Templates};
use crate::tier::{Platform, TierSpec};
use crate::watch::{Watched, google};
use crate::{argocd, config_connector, yaml};

/// Which database the files refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseTarget {
    /// The one moved from.
    Source,
    /// The one moved to.
    Target,
}

/// How to render.
#[derive(Debug, Clone)]
pub struct RenderOptions {
    /// Which database the files refer to.
    pub database: DatabaseTarget,
    /// A folder whose templates replace the built-in ones of the same path.
    pub templates_dir: Option<PathBuf>,
    /// A folder with partial files that change rendered ones of the same path.
    pub overlays_dir: Option<PathBuf>,
}

/// Why a tier can't be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// There is no such tier.
    #[error("system `{system}` has no tier `{tier}` (it has {known})")]
    UnknownTier {
        /// The system.
        system: String,
        /// The tier asked for.
        tier: String,
        /// The tiers it has.
        known: String,
    },
    /// The tier says nothing about what to render.
    #[error("tier `{tier}` of system `{system}` has nothing to render (tiers that have: {known})")]
    NotRenderable {
        /// The system.
        system: String,
        /// The tier asked for.
        tier: String,
        /// The tiers that can be rendered.
        known: String,
    },
    /// A template can't be used or filled.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// An overlay can't be used.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// A Kubernetes object can't be written as YAML.
    #[error("cannot write Kubernetes objects as YAML")]
    Yaml(#[from] serde_saphyr::SerializeError),
    /// A Kubernetes object is not as the API has it.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A file would leave the folder.
    #[error(transparent)]
    Path(#[from] BadPath),
}

/// Renders a tier.
///
/// # Errors
/// When there is no such tier, it has no `render`, or a template can't be filled.
pub fn render(system: &SystemSpec, tier: &str, options: &RenderOptions) -> Result<RenderedSet, RenderError> {
    let (title, spec) = find(system, tier)?;
    let templates = Templates::load(options.templates_dir.as_deref())?;
    let mut set = RenderedSet::default();
    let mut k8s_files = Vec::new();
    if let Some(home) = Home::of(system, spec, options.database) {
        let mut files = kubernetes::files(&home);
        config_connector::add_files(&home, &mut files);
        argocd::add_files(&home, &mut files);
        k8s_files = kubernetes::applied(&files);
        for (path, objects) in files.objects {
            set.insert(&path, yaml::objects(&objects)?)?;
        }
        for (path, kustomization) in files.kustomizations {
            set.insert(&path, yaml::text(&kustomization)?)?;
        }
    }
    if let Some(watched) = Watched::new(system, tier, spec).filter(|_| spec.has(Platform::CloudMonitoring)) {
        for (file, text) in google::files(watched) {
            set.insert(&file, text)?;
        }
    }
    let subject = Subject { system, tier, tier_title: title, spec, database: options.database, k8s_files: &k8s_files };
    for (path, text) in templates.fill(subject)? {
        set.insert(&path, text)?;
    }
    if let Some(dir) = &options.overlays_dir {
        overlay::apply(&mut set, dir)?;
    }
    Ok(set)
}

fn find<'a>(system: &'a SystemSpec, tier: &str) -> Result<(&'a str, &'a TierSpec), RenderError> {
    let Some(found) = system.tiers.get(tier) else {
        let known = system.tier_names().collect::<Vec<_>>().join(", ");
        return Err(RenderError::UnknownTier { system: system.system.clone(), tier: tier.to_owned(), known });
    };
    let Some(spec) = &found.render else {
        let renderable = |name: &&str| system.tiers[*name].render.is_some();
        let known = system.tier_names().filter(renderable).collect::<Vec<_>>().join(", ");
        return Err(RenderError::NotRenderable { system: system.system.clone(), tier: tier.to_owned(), known });
    };
    Ok((&found.name, spec))
}

impl RenderError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownTier { .. } | Self::NotRenderable { .. } => {
                "name a tier that can be rendered, or give it a `render:` in system.yaml"
            }
            Self::Template(_) => "correct the template, or leave it out of --templates to use the built-in one",
            Self::Overlay(_) => {
                "correct the overlay: it has the path of the file it changes, and only what is to differ"
            }
            Self::Yaml(_) | Self::Object(_) => "this is a fault of tierlift; please report it with the system.yaml",
            Self::Path(_) => "rename the template so that its output stays in the folder",
        }
    }
}

pub(crate) use context::USER_ID;
