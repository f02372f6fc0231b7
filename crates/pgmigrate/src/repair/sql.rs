//! The SQL that makes one table of the target equal to the source's. The same text is written to a file or sent.
//!
//! A table's rows are brought to a temporary table first, each with what is to be done, and where and what the target's
//! row is; two or three statements then do all of it. A row of the target is named by its place *and* its hash, so that a
//! file that is run later than it should be touches no row but those it was made for.

use pg_session::{Ident, literal};

use crate::catalog::Column;
use crate::ends::Pair;
use crate::sums::Sum;
use crate::walk::{Difference, Place};

/// Settings under which a file of repair SQL means what it meant when it was written.
pub(crate) const SESSION_SETTINGS: &str = "\
set client_encoding = 'UTF8'; set standard_conforming_strings = on; set search_path = ''; set timezone = 'UTC';
set datestyle = 'ISO, YMD'; set intervalstyle = 'iso_8601'; set extra_float_digits = 3; set bytea_output = 'hex';
set lc_monetary = 'C'; set xmloption = 'content'; set row_security = off; set statement_timeout = 0;
set default_transaction_read_only = off;
";

/// Triggers and foreign keys: how the target's role may keep them still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `session_replication_role` may be set: no foreign key is looked at, tables are mended in any order.
    Replica,
    /// It may not: foreign keys hold at every commit. Rows that others may point at are updated rather than written anew,
    /// and surplus ones go last.
    Ordinary,
}

/// What one transaction does to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: surplus and changed rows go, missing and changed ones come.
    Whole,
    /// Changed rows are updated, missing ones come.
    Rows,
    /// Surplus rows go.
    Surplus,
}

impl Part {
    /// How the difference is marked in the temporary table; `None` when this part leaves it alone.
    pub fn mark(self, difference: &Difference) -> Option<char> {
        match (self, difference) {
            (Self::Whole | Self::Rows, Difference::Missing(_)) => Some('m'),
            (Self::Whole | Self::Rows, Difference::Changed(..)) => Some('c'),
            (Self::Whole | Self::Surplus, Difference::Extra(_)) => Some('x'),
            _ => None,
        }
    }
}

/// A trigger or rule that would act on what a repair does, off meanwhile and then as it was.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    /// `trigger` or `rule`.
    pub kind: String,
    pub name: String,
    /// As `pg_trigger.tgenabled` has it: O, A or R.
    pub state: String,
}

impl Actor {
    /// Whether it acts in a session of that mode.
    pub fn acts(&self, mode: Mode) -> bool {
        match mode {
            Mode::Replica => self.state != "O",
            Mode::Ordinary => self.state != "R",
        }
    }
}

/// A row of the source that is to come: its mark, where it is, and the row of the target that it replaces.
pub(crate) struct Coming {
    pub mark: char,
    pub ctid: String,
    pub replaces: Option<Place>,
}

/// A table to be mended.
pub(crate) struct Mend<'a> {
    pub pair: &'a Pair,
    pub mode: Mode,
    pub actors: Vec<Actor>,
}

const STAGE: &str = "pg_temp.tierlift_repair";

/// How long a repair waits for the application's locks.
const LOCK_TIMEOUT: &str = "60s";

impl Mend<'_> {
    fn target(&self) -> String {
        self.pair.target.table.relation.to_string()
    }

    /// Columns whose values can be written, as the source has them and as the target has them.
    pub fn columns(&self) -> impl Iterator<Item = (&Column, &Column)> {
        let there = &self.pair.target.table.columns;
        let pairs = self.pair.source.table.columns.iter();
        pairs.filter_map(|c| there.iter().find(|t| t.name == c.name && !t.generated).map(|t| (c, t)))
    }

    /// Opens the transaction, locks the table against writers, and makes the temporary table. `seen` is what the table
    /// held when it was read; without it whoever reads does so under the lock.
    pub fn opening(&self, seen: Option<&Sum>) -> String {
        let target = self.target();
        let mut sql = format!(
            "begin;\nset local lock_timeout = '{LOCK_TIMEOUT}';\nlock table only {target} in share row exclusive mode;\n"
        );
        if let Some(seen) = seen {
            let sum = format!(
                "select pg_catalog.format('%s %s', count(*), coalesce(sum({}), 0)) from {}",
                self.pair.target.hash.row,
                self.pair.target.rows(None)
            );
            let expected = literal(&format!("{} {}", seen.rows, seen.hash));
            sql.push_str(&self.refuse_if(&format!("({sum}) <> {expected}")));
        }
        if self.mode == Mode::Replica {
            sql.push_str("set local session_replication_role = replica;\n");
        }
        // Of the types behind domains, whose constraints an empty row would break.
        let mut columns = vec![
            "null::\"char\" as tierlift_op".to_owned(),
            "null::pg_catalog.tid as tierlift_place".to_owned(),
            "null::int8 as tierlift_hash".to_owned(),
        ];
        columns.extend(
            self.columns()
                .enumerate()
                .map(|(at, (_, c))| format!("({})::{} as tierlift_{at}", Ident(&c.name), c.base.name)),
        );
        sql.push_str(&format!(
            "create temporary table tierlift_repair on commit drop as select {} from only {target} with no data;\n",
            columns.join(", ")
        ));
        sql
    }

    /// The statement whose data are the rows, in COPY's text format.
    pub fn copy_in(&self) -> String {
        format!("copy {STAGE} from stdin;\n")
    }

    /// The line for a row of the target that goes.
    pub fn surplus_line(&self, place: &str, hash: i64) -> String {
        format!("x\t{place}\t{hash}{}\n", "\t\\N".repeat(self.columns().count()))
    }

    /// Reads rows of the source as lines of [`Mend::copy_in`]'s data.
    pub fn copy_out(&self, rows: &[Coming]) -> String {
        let list = |texts: Vec<String>, kind: &str| format!("array[{}]::{kind}[]", texts.join(", "));
        let of_target = |shown: &dyn Fn(&Place) -> String| {
            rows.iter().map(|row| row.replaces.as_ref().map_or_else(|| "null".to_owned(), shown)).collect()
        };
        let marks = rows.iter().map(|row| format!("'{}'", row.mark)).collect();
        let from = rows.iter().map(|row| literal(&row.ctid)).collect();
        let (to, hashes) = (of_target(&|at| literal(&at.ctid)), of_target(&|at| format!("'{}'", at.hash)));
        let mut columns = vec!["p.op".to_owned(), "p.there".to_owned(), "p.hash".to_owned()];
        columns.extend(self.columns().map(|(c, _)| format!("t.{}", Ident(&c.name))));
        format!(
            "copy (select {} from unnest({}, {}, {}, {}) p (op, here, there, hash) \
             join only {} t on t.ctid = p.here) to stdout",
            columns.join(", "),
            list(marks, "\"char\""),
            list(from, "pg_catalog.tid"),
            list(to, "pg_catalog.tid"),
            list(hashes, "int8"),
            self.pair.source.table.relation
        )
    }

    /// Does what the temporary table says, and commits.
    pub fn closing(&self, part: Part) -> String {
        let actors: Vec<&Actor> = self.actors.iter().filter(|a| a.acts(self.mode)).collect();
        let alter = |verb: &str, actor: &Actor| {
            format!("alter table only {} {verb} {} {};\n", self.target(), actor.kind, Ident(&actor.name))
        };
        let mut sql: String = actors.iter().map(|actor| alter("disable", actor)).collect();
        if self.mode == Mode::Ordinary {
            sql.push_str("set constraints all deferred;\n");
        }
        match part {
            Part::Whole => {
                sql.push_str(&self.counted(&self.delete("'x', 'c'"), "'x', 'c'"));
                sql.push_str(&format!("{};\n", self.insert("'m', 'c'")));
            }
            Part::Rows => sql.push_str(&self.insert_and_update()),
            Part::Surplus => sql.push_str(&self.counted(&self.delete("'x'"), "'x'")),
        }
        if self.mode == Mode::Ordinary && !actors.is_empty() {
            // A table with pending checks cannot be altered.
            sql.push_str("set constraints all immediate;\n");
        }
        for actor in actors {
            let verb = match actor.state.as_str() {
                "A" => "enable always",
                "R" => "enable replica",
                _ => "enable",
            };
            sql.push_str(&alter(verb, actor));
        }
        sql.push_str("commit;\n");
        sql
    }

    fn delete(&self, marks: &str) -> String {
        format!("delete from only {} t using {STAGE} r where {}", self.target(), self.same_row(marks))
    }

    fn update(&self) -> Option<String> {
        let sets: Vec<String> = self
            .columns()
            .enumerate()
            .filter(|(_, (_, c))| !c.always_identity) // takes no value in an update
            .map(|(at, (_, c))| format!("{} = r.tierlift_{at}", Ident(&c.name)))
            .collect();
        (!sets.is_empty()).then(|| {
            format!(
                "update only {} t set {} from {STAGE} r where {}",
                self.target(),
                sets.join(", "),
                self.same_row("'c'")
            )
        })
    }

    fn same_row(&self, marks: &str) -> String {
        format!(
            "r.tierlift_op in ({marks}) and t.ctid = r.tierlift_place and {} = r.tierlift_hash",
            self.pair.target.hash.row
        )
    }

    fn insert(&self, marks: &str) -> String {
        let names: Vec<String> = self.columns().map(|(_, c)| Ident(&c.name).to_string()).collect();
        let values: Vec<String> = (0..names.len()).map(|at| format!("r.tierlift_{at}")).collect();
        let list = if names.is_empty() { String::new() } else { format!("({}) ", names.join(", ")) };
        format!(
            "insert into {} {list}overriding system value select {} from {STAGE} r where r.tierlift_op in ({marks})",
            self.target(),
            values.join(", ")
        )
    }

    /// A changed row may point at a missing one, so missing ones come first; unless a changed row still has a value that
    /// is unique and that a missing one needs.
    fn insert_and_update(&self) -> String {
        let insert = self.insert("'m'");
        let Some(update) = self.update() else { return format!("{insert};\n") };
        let update = format!("{update}; get diagnostics touched = row_count");
        self.checked(
            &format!("begin {insert}; {update}; exception when unique_violation then {update}; {insert}; end"),
            "'c'",
        )
    }

    /// Runs `statement` and fails unless it touches as many rows as are marked.
    fn counted(&self, statement: &str, marks: &str) -> String {
        self.checked(&format!("{statement}; get diagnostics touched = row_count"), marks)
    }

    fn checked(&self, statements: &str, marks: &str) -> String {
        let body = format!(
            "declare touched int8; begin {statements}; \
             if touched <> (select count(*) from {STAGE} where tierlift_op in ({marks})) then {} end if; end",
            self.refusal()
        );
        format!("do {};\n", literal(&body))
    }

    fn refuse_if(&self, condition: &str) -> String {
        format!("do {};\n", literal(&format!("begin if {condition} then {} end if; end", self.refusal())))
    }

    fn refusal(&self) -> String {
        let message = format!(
            "table {} is not as it was when its repair was made; run pg verify again",
            self.pair.target.table.relation.label()
        );
        format!("raise exception using message = {};", literal(&message))
    }
}
