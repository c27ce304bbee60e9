-- One flat row a result, computed from the tables. They are named in the text of a function: PostgreSQL then records no
-- dependency on them, and the original's `rebuild: 1`, a plain DROP TABLE, still works. The planner replaces the function
-- by its query, so that it uses the tables' indexes.
-- Every cast stands behind a pattern: what is no number or no time is NULL, never an error.
CREATE OR REPLACE FUNCTION public.gbench_computed() RETURNS TABLE (
  id integer,
  run_time timestamptz,
  stored_at timestamptz,
  run_id text,
  md5 text,
  configuration text,
  model text,
  framework text,
  dataset text,
  device text,
  dev_num integer,
  batch_size integer,
  "precision" text,
  eval_mode text,
  dist_mode text,
  recipe text,
  throughput double precision,
  low double precision,
  high double precision,
  throughput_unit text,
  steady_state boolean,
  driver text,
  software text,
  hardware text,
  code_link text,
  tags text,
  visible boolean,
  machine text,
  host_name text,
  first_rule boolean
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT
  r.id,
  t.run_time,
  r.create_at,
  e.run_id,
  r.md5::text,
  md5(ROW(
    m.name, r.framework, r.dataset, r.device, r.dev_num, r.batch_size, r.train_exec_mode, r.eval_exec_mode, r.dist_mode,
    e.recipe, f.unit,
    CASE jsonb_typeof(r.hyper_params) WHEN 'object' THEN r.hyper_params - 'seed' END
  )::text),
  m.name::text,
  r.framework::text,
  r.dataset::text,
  r.device::text,
  r.dev_num,
  r.batch_size,
  r.train_exec_mode::text,
  r.eval_exec_mode::text,
  r.dist_mode::text,
  e.recipe,
  f.throughput,
  f.low,
  f.high,
  f.unit,
  f.steady_state,
  COALESCE(NULLIF(e.driver, 'N/A'), substring(r.md5 FROM '^\d+(?:\.\d+)+$')),
  s.name::text,
  h.name::text,
  r.code_link::text,
  array_to_string(r.tags, ','),
  r.visible,
  e.machine ->> 'key',
  e.machine ->> 'host_name',
  p.data_share IS NOT NULL AND p.statistics IS NULL
FROM public.train_results r
LEFT JOIN public.models m ON m.id = r.model_id
LEFT JOIN public.software_infos s ON s.id = r.soft_info_id
LEFT JOIN public.hardware_infos h ON h.id = r.hard_info_id
-- A document is unpacked once for all its keys; each `->` would decompress it anew.
CROSS JOIN LATERAL jsonb_to_record(CASE jsonb_typeof(r.extra) WHEN 'object' THEN r.extra ELSE '{}' END)
  AS e (run_id text, recipe text, driver text, started_utc text, machine jsonb)
CROSS JOIN LATERAL jsonb_to_record(CASE jsonb_typeof(r.performance) WHEN 'object' THEN r.performance ELSE '{}' END)
  AS p (
    throughput jsonb, throughput_unit text, throughput_interval jsonb, steady_state jsonb, data_share text,
    statistics text
  )
CROSS JOIN LATERAL (
  -- ISO 8601; without an offset it is UTC. The inner CASE leaves out days that no month has.
  SELECT COALESCE(
    CASE WHEN e.started_utc ~ (
      '^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])'
      '[T ]([01]\d|2[0-3])(:[0-5]\d){2}(\.\d{1,9})?(Z|[-+](0\d|1[0-4]):[0-5]\d)?$'
    ) THEN
      CASE WHEN to_char((left(e.started_utc, 8) || '01')::date + substr(e.started_utc, 9, 2)::integer - 1, 'YYYY-MM-DD')
        = left(e.started_utc, 10)
      THEN (e.started_utc || CASE WHEN e.started_utc ~ '(Z|[-+]\d\d:\d\d)$' THEN '' ELSE 'Z' END)::timestamptz
      END
    END,
    r.create_at
  ) AS run_time
) t
CROSS JOIN LATERAL (
  SELECT
    CASE jsonb_typeof(p.throughput)
      WHEN 'number' THEN CASE WHEN length(p.throughput::text) <= 60 THEN p.throughput::text::double precision END
      WHEN 'string' THEN substring(p.throughput #>> '{}' FROM
        '^\s*([-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40}))(?![eE][-+]?\d)'  -- the number, and what may follow: a unit
        '\s*(?:(?:[^[:digit:][:space:][:punct:]]|[_%]).*)?$'
      )::double precision
    END AS throughput,
    CASE WHEN jsonb_typeof(p.throughput_interval -> 'low') = 'number' AND length(p.throughput_interval ->> 'low') <= 60
      THEN (p.throughput_interval ->> 'low')::double precision END AS low,
    CASE WHEN jsonb_typeof(p.throughput_interval -> 'high') = 'number' AND length(p.throughput_interval ->> 'high') <= 60
      THEN (p.throughput_interval ->> 'high')::double precision END AS high,
    COALESCE(
      p.throughput_unit,
      CASE jsonb_typeof(p.throughput) WHEN 'string' THEN
        rtrim(substring(p.throughput #>> '{}' FROM '^\s*[-+.\d]+\s*((?:[^[:digit:][:space:][:punct:]]|[_%]).*)$'))
      END
    ) AS unit,
    CASE p.steady_state WHEN 'true' THEN true WHEN 'false' THEN false END AS steady_state
) f
$$
