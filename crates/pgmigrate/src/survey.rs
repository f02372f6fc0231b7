//! Everything that is read at both ends before anything is decided: what assess reports, and what copy and verify obey.

use std::collections::BTreeSet;

use pg_session::{Relation, Session};
use runbook::Finding;

use crate::auth::{self, Managed};
use crate::catalog::{self, ServerFacts, Table};
use crate::choice::Choice;
use crate::condition;
use crate::error::Error;
use crate::existing;
use crate::extension::{self, Extension};
use crate::mapping;
use crate::owner;
use crate::roles::{self, Roles};
use crate::selection::{Contents, Selection, Wanted};
use crate::stay_behind;

/// What was found, and what follows from it.
#[derive(Debug, Clone)]
pub(crate) struct Survey {
    pub source: ServerFacts,
    pub target: ServerFacts,
    /// What the operator asked for, and what of the source that is.
    pub wanted: Wanted,
    pub choice: Choice,
    /// The application's schemas of which something is copied.
    pub schemas: Vec<String>,
    /// The provider's schemas, which stay behind.
    pub managed_schemas: Vec<String>,
    /// The chosen tables and the stand-in for `auth.users`, if one is needed.
    pub tables: Vec<Table>,
    pub extensions: Vec<Extension>,
    pub roles: Roles,
    pub managed: Managed,
    pub fingerprint: String,
    pub findings: Vec<Finding>,
}

impl Survey {
    /// Reads both ends, as far as `selection` goes. Writes nothing; both sessions may be read-only.
    pub async fn take(source: &Session, target: &Session, selection: &Selection) -> Result<Self, Error> {
        let (from, to) = tokio::try_join!(catalog::server_facts(source), catalog::server_facts(target))?;
        Self::of(source, target, from, to, selection).await
    }

    /// The same where both servers are known already. Independent questions are asked at once: at 30 ms a round trip
    /// they would add up to seconds.
    pub async fn of(
        source: &Session,
        target: &Session,
        from: ServerFacts,
        to: ServerFacts,
        selection: &Selection,
    ) -> Result<Self, Error> {
        let wanted = selection.parse()?;
        let (schemas, managed_schemas) = catalog::schemas(source, from.provider).await?;
        let choice = Choice::make(source, &wanted, &schemas, &managed_schemas).await?;
        let schemas = choice.schemas.clone();
        let [mut findings, mut of_extensions, mut of_roles] = [Vec::new(), Vec::new(), Vec::new()];
        let (mut managed, mut extensions, roles, fingerprint, staying, objects) = tokio::try_join!(
            auth::managed(source, &choice, &managed_schemas, from.provider, &mut findings),
            extension::extensions(source, target, &choice, from.provider, &mut of_extensions),
            roles::roles(source, target, &choice, from.provider, &mut of_roles),
            catalog::fingerprint(source, &schemas),
            stay_behind::stay_behind(source, target, from.provider, wanted.is_filtered()),
            stay_behind::large_objects(source, &wanted),
        )?;
        findings.append(&mut of_extensions);
        findings.append(&mut of_roles);
        managed.skipped.extend(&choice.left_out);
        findings.extend(mapping::findings(source, target, &wanted, &choice).await?);
        findings.extend(owner::findings(source, target, &wanted, &choice).await?);
        findings.extend(objects);
        for (entry, finding) in staying {
            managed.skipped.insert(entry);
            findings.extend(finding);
        }
        let same: Vec<String> = extensions.iter().filter(|x| x.same_version()).map(|x| x.name.clone()).collect();
        let mut tables = catalog::tables(source, &schemas, &same).await?;
        tables.retain(|t| !choice.relations_left_out.contains(&t.relation));
        for table in &mut tables {
            table.placed_by.take_if(|parent| choice.relations_left_out.contains(parent)); // it comes as a table of its own
        }
        let mut chosen = choice.findings.clone();
        chosen.extend(condition::apply(source, &wanted.conditions, &mut tables).await?);
        if wanted.contents == Contents::DataOnly {
            managed.shim = None; // nothing is made on the target
        }
        // A role of that name that neither exists nor is made has nobody to grant to.
        for extension in &mut extensions {
            extension.users.retain(|role| roles.will_have(role));
        }
        if let Some(shim) = &mut managed.shim {
            shim.callers.retain(|role| roles.will_have(role));
            tables.extend(shim.users.clone());
        }
        let mut survey = Self {
            source: from,
            target: to,
            wanted,
            choice,
            schemas,
            managed_schemas,
            tables,
            extensions,
            roles,
            managed,
            fingerprint,
            findings,
        };
        if survey.wanted.contents == Contents::DataOnly {
            survey.go_into_existing_tables(source, target).await?;
        }
        survey.findings.append(&mut chosen);
        Ok(survey)
    }

    /// Nothing is made on the target, so what cannot be made there is no matter; what is there must fit.
    async fn go_into_existing_tables(&mut self, source: &Session, target: &Session) -> Result<(), Error> {
        for at in 0..self.tables.len() {
            self.tables[at].existing = true;
            self.tables[at].onto = self.onto(&self.tables[at].relation);
            self.tables[at].placed_by = self.tables[at].placed_by.as_ref().map(|parent| self.onto(parent));
        }
        self.roles.missing.clear();
        self.findings = existing::findings(source, target, self).await?;
        Ok(())
    }

    /// Where the copy writes a relation: under its own name, unless the target's tables are there already.
    pub fn onto(&self, relation: &Relation) -> Relation {
        match self.wanted.contents {
            Contents::DataOnly => self.wanted.relation(relation),
            _ => relation.clone(),
        }
    }

    /// What the schemas are called on the target when the copy is finished.
    pub fn schemas_on_target(&self) -> Vec<String> {
        self.schemas.iter().map(|schema| self.wanted.schema(schema).to_owned()).collect()
    }

    /// Without these relations, by oid: they stay behind.
    pub fn leave_out(&mut self, relations: &BTreeSet<u32>) {
        self.tables.retain(|table| !relations.contains(&table.oid));
    }

    /// Grants nothing to roles that could not be made.
    pub fn forget_roles(&mut self, roles: &[&str]) {
        let known = |role: &String| !roles.contains(&role.as_str());
        for extension in &mut self.extensions {
            extension.users.retain(known);
        }
        if let Some(shim) = &mut self.managed.shim {
            shim.callers.retain(known);
        }
    }

    /// Bytes of all tables, indexes aside.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|t| t.bytes).sum()
    }

    /// Rows as the source's statistics have them.
    pub fn rows_estimate(&self) -> u64 {
        self.tables.iter().map(|t| t.rows_estimate).sum()
    }

    /// True when both ends are the same database.
    pub fn is_same_database(&self) -> bool {
        match (&self.source.system_identifier, &self.target.system_identifier) {
            (Some(a), Some(b)) => a == b && self.source.database == self.target.database,
            _ => self.source.endpoint == self.target.endpoint,
        }
    }
}
