//! How many tables are copied at once when nobody says.
//!
//! A job is one reader on the source, one writer on the target and a little forwarding here. How many cores a remote
//! server has cannot be asked; what can be is how many parallel workers somebody configured it for, which providers and
//! careful administrators set by its cores. So the rule is:
//!
//! - an end whose `max_worker_processes` and `max_parallel_workers` were configured takes as many jobs as the smaller
//!   of the two says; an end that still has the defaults says nothing, and is taken for a machine like ours;
//! - forwarding needs little: a core of ours serves four jobs;
//! - never fewer than two, so that reading and writing overlap, nor more than eight unless asked for;
//! - at most half of the connections that either end has free, so that the application keeps the other half.

use pg_session::Session;

use crate::error::Error;

/// What one end can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Connections left for this role and database.
    pub free_connections: usize,
    /// Parallel workers the server was configured for; `None` when it has the defaults.
    pub workers: Option<usize>,
}

/// Reads it. Other roles' sessions count too, hence the statistics rather than `pg_stat_activity`.
pub(crate) async fn read(session: &Session) -> Result<Capacity, Error> {
    let row = session.query_typed_one(include_str!("sql/capacity.sql"), &[]).await.map_err(Error::on(session))?;
    let number = |n: i64| usize::try_from(n).unwrap_or(0);
    Ok(Capacity { free_connections: number(row.get(0)), workers: row.get::<_, Option<i64>>(1).map(number) })
}

/// The number of jobs. `asked` is what the operator wants, which only missing connections reduce.
pub(crate) fn jobs(asked: Option<usize>, cores: usize, source: Capacity, target: Capacity) -> usize {
    const MOST: usize = 8;
    const JOBS_PER_CORE: usize = 4;
    let free = source.free_connections.min(target.free_connections);
    match asked {
        Some(asked) => asked.min(free).max(1),
        None => {
            let end = |capacity: Capacity| capacity.workers.unwrap_or(cores);
            let able = end(source).min(end(target)).min(cores * JOBS_PER_CORE);
            able.clamp(2, MOST).min(free / 2).max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_follow_the_smallest_of_the_three() {
        let check = |asked: Option<usize>,
                     cores: usize,
                     source: (usize, Option<usize>),
                     target: (usize, Option<usize>),
                     expect: usize| {
            let end = |(free_connections, workers)| Capacity { free_connections, workers };
            let jobs = jobs(asked, cores, end(source), end(target));
            assert_eq!(jobs, expect, "{asked:?} {cores} {source:?} {target:?}");
        };
        // Nobody configured anything: as before, by our own cores.
        check(None, 1, (97, None), (97, None), 2);
        check(None, 2, (97, None), (97, None), 2);
        check(None, 4, (97, None), (97, None), 4);
        check(None, 64, (97, None), (97, None), 8);
        // Larger ends than ours, as far as forwarding goes; the smaller end decides.
        check(None, 2, (97, Some(16)), (97, Some(16)), 8);
        check(None, 1, (97, Some(16)), (97, Some(16)), 4);
        check(None, 8, (97, Some(2)), (97, Some(16)), 2);
        check(None, 8, (97, Some(16)), (97, Some(0)), 2);
        // Connections: half of what is free, one at least.
        check(None, 8, (10, None), (97, None), 5);
        check(None, 8, (97, None), (3, None), 1);
        check(None, 8, (0, None), (97, None), 1);
        // What was asked for counts as long as there are connections for it.
        check(Some(16), 2, (97, None), (97, Some(2)), 16);
        check(Some(16), 2, (5, None), (97, None), 5);
        check(Some(1), 2, (97, None), (97, None), 1);
    }
}
