insert into tierlift.backfill_dead as d (job, key, text_sha256, reason, sample)
select $1, s.key, s.text_sha256, s.reason, s.sample
  from unnest($2::text[], $3::bytea[], $4::text[], $5::text[]) s (key, text_sha256, reason, sample)
    on conflict (job, key) do update
   set text_sha256 = excluded.text_sha256, reason = excluded.reason, sample = excluded.sample,
       attempts = d.attempts + 1, last_at = clock_timestamp()
