//! Service accounts of Google Cloud: who programs are there, and what they may do.

use serde::{Deserialize, Serialize};

use super::Place;
use crate::labels::metadata;
use crate::object::{Labels, Manifest, Object};

/// A service account of Google Cloud.
pub type IamServiceAccount = Manifest<IamServiceAccountSpec>;
/// One role of somebody.
pub type IamPolicyMember = Manifest<IamPolicyMemberSpec>;

/// A service account of Google Cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IamServiceAccountSpec {
    pub(crate) display_name: String,
}

/// Who may do what, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IamPolicyMemberSpec {
    pub(crate) member: String,
    pub(crate) role: String,
    pub(crate) resource_ref: IamResource,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct IamResource {
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) external: Option<String>,
}

/// Who a program is on Google Cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The service account's id.
    pub id: String,
    /// The Kubernetes ServiceAccount whose pods are it: namespace and name.
    pub account: (String, String),
    /// Roles in the project, e.g. `cloudsql.client`.
    pub roles: Vec<&'static str>,
}

/// The service account, the right of the pods to be it, and its roles. These go with their files: a right that nobody
/// asks for any more is one too many.
pub fn identity(place: &Place, identity: &Identity) -> Vec<Object> {
    let Place { project, .. } = place;
    let (namespace, account) = &identity.account;
    let mut objects = vec![Object::IAMServiceAccount(object(
        place,
        "IAMServiceAccount",
        &identity.id,
        IamServiceAccountSpec { display_name: format!("{} {account}", place.part_of) },
    ))];
    let mut member = |name: &str, member: String, role: &str, resource_ref| {
        let spec = IamPolicyMemberSpec { member, role: format!("roles/{role}"), resource_ref };
        let name = format!("{}-{name}", identity.id);
        objects.push(Object::IAMPolicyMember(object(place, "IAMPolicyMember", &name, spec)));
    };
    let itself = IamResource { kind: "IAMServiceAccount".to_owned(), name: Some(identity.id.clone()), external: None };
    let pods = format!("serviceAccount:{project}.svc.id.goog[{namespace}/{account}]");
    member("pods", pods, "iam.workloadIdentityUser", itself);
    for role in &identity.roles {
        let external = Some(format!("projects/{project}"));
        let whole_project = IamResource { kind: "Project".to_owned(), name: None, external };
        let who = format!("serviceAccount:{}@{project}.iam.gserviceaccount.com", identity.id);
        member(&role.to_ascii_lowercase().replace('.', "-"), who, role, whole_project);
    }
    objects
}

fn object<S>(place: &Place, kind: &str, name: &str, spec: S) -> Manifest<S> {
    let mut metadata = metadata(name, &place.namespace, &place.part_of);
    metadata.annotations = Labels::from([("cnrm.cloud.google.com/project-id".to_owned(), place.project.clone())]);
    Manifest { api_version: "iam.cnrm.cloud.google.com/v1beta1".to_owned(), kind: kind.to_owned(), metadata, spec }
}
