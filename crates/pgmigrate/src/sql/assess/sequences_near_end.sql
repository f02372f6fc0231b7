-- $1: schemas. Those that count upwards, stop at their end, and have used four fifths of their values.
select format('sequence %I.%I', schemaname, sequencename),
       format('%s %%', round(100 * (last_value - min_value)::numeric / (max_value - min_value)))
  from pg_sequences
 where schemaname = any ($1) and not cycle and increment_by > 0 and max_value > min_value
   and (last_value - min_value)::numeric / (max_value - min_value) >= 0.8
 order by 1
