//! Memory stays bounded while a table of 2 GB is copied.

use acceptance::{Site, Watched};

#[test]
#[cfg(target_os = "linux")]
fn copying_2_gb_stays_under_100_mb() {
    let site = Site::new(50);
    // 2 GB in 262,144 rows of 8 kB that do not compress.
    site.on_source(
        "create table public.blobs (id bigint primary key, body bytea not null);
         alter table public.blobs alter column body set storage external;
         insert into public.blobs
         select i, decode(repeat(md5(i::text), 512), 'hex') from generate_series(1, 262144) i;
         alter table public.blobs owner to oviya_owner",
    );
    let copy = ["pg", "copy", "--source", "env:OVIYA_SOURCE_URL", "--target", "env:OVIYA_TARGET_URL", "--yes"];
    let mut run = Watched::start(site.tierlift(&copy));
    let status = format!("/proc/{}/status", run.pid());
    let mut peak_kb = 0;
    // The high-water mark only grows, so the last look before the end tells all but the very last moments.
    run.wait_for(|_| {
        if let Ok(text) = std::fs::read_to_string(&status) {
            peak_kb = peak_kb.max(high_water_mark_kb(&text));
        }
        false
    });
    assert_eq!(run.finish(), 0);
    assert!(peak_kb > 5_000, "the memory was not measured: {peak_kb} kB");
    assert!(peak_kb < 100_000, "peak RSS {peak_kb} kB");
    assert_eq!(site.on_target("select count(*) from public.blobs"), "262144");
}

fn high_water_mark_kb(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    // A process that has just ended has no memory to report.
    line.and_then(|rest| rest.split_whitespace().next()).map_or(0, |kb| kb.parse().expect("a number of kB"))
}
