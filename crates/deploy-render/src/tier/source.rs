//! What is built, and how.

use serde::{Deserialize, Serialize};

/// What a part of an application is built from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name, by which services refer to it.
    pub name: String,
    /// How it is built and started.
    pub runtime: Runtime,
    /// Its folder in the application's repository; none when that is the repository's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The image it is built on, pinned; needed where it becomes an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_image: Option<String>,
    /// Which of its sets of requirements is installed; needed for Python.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Requirements>,
    /// The command that builds files which are only sent, e.g. `npm run build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// The folder with those files, below `root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<String>,
    /// The folder below `publish` whose files are named after their content, so that a browser may keep them for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashed: Option<String>,
    /// Whether the program in the browser answers every path itself, so that all of them get its `index.html`.
    #[serde(default)]
    pub single_page: bool,
    /// Which of its files become functions, as Vercel's pattern; needed there where a time limit is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functions: Option<String>,
    /// Version of Node.js, Python or Deno it is tested with, where `base_image` does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toolchain: Option<String>,
}

/// How an application is built and started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// Node.js with NestJS: `npm ci`, `npm run build`, `node dist/...`.
    Nestjs,
    /// Node.js with Next.js, `output: "standalone"`.
    Nextjs,
    /// Python with FastAPI and uvicorn.
    Fastapi,
    /// Deno.
    Deno,
    /// Files that are only sent, built or as they are.
    Static,
}

/// A set of Python's requirements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// How much it holds.
    pub set: RequirementSet,
    /// Its file, below the source's root.
    pub file: String,
}

/// How much a set of requirements holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequirementSet {
    /// Only wheels: nothing is compiled.
    Slim,
    /// Machine learning on processors.
    Full,
    /// Machine learning on graphics processors.
    Gpu,
}

impl Source {
    /// Version of its language: `toolchain`, or what the tag of `base_image` begins with.
    pub(crate) fn language_version(&self) -> Option<&str> {
        self.toolchain.as_deref().or_else(|| {
            let (_, tag) = self.base_image.as_deref()?.rsplit_once(':')?;
            tag.split(['-', '@']).find(|part| part.starts_with(|c: char| c.is_ascii_digit()))
        })
    }
}
