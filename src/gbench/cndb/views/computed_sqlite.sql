DROP VIEW IF EXISTS gbench_computed

-- One flat row a result, computed from the tables, as on PostgreSQL. SQLite has no patterns like PostgreSQL's: the number
-- at the start of a text is cut off by trimming. What is no number, no time or no JSON is NULL, never an error.
CREATE VIEW gbench_computed AS
SELECT
  r.id,
  r.run_time,
  r.create_at AS stored_at,
  CAST(json_extract(r.more, '$.run_id') AS TEXT) AS run_id,
  r.md5,
  json_array(
    m.name, r.framework, r.dataset, r.device, r.dev_num, r.batch_size, r.train_exec_mode, r.eval_exec_mode, r.dist_mode,
    json_extract(r.more, '$.recipe'), r.unit,
    CASE json_type(r.hyper) WHEN 'object' THEN json_remove(r.hyper, '$.seed') END  -- gbench stores its keys sorted
  ) AS configuration,
  m.name AS model,
  r.framework,
  r.dataset,
  r.device,
  r.dev_num,
  r.batch_size,
  r.train_exec_mode AS precision,
  r.eval_exec_mode AS eval_mode,
  r.dist_mode,
  CAST(json_extract(r.more, '$.recipe') AS TEXT) AS recipe,
  CASE WHEN r.throughput BETWEEN -1e40 AND 1e40 THEN CAST(r.throughput AS REAL) END AS throughput,
  CASE WHEN r.low_type IN ('integer', 'real') AND r.low BETWEEN -1e40 AND 1e40 THEN CAST(r.low AS REAL) END AS low,
  CASE WHEN r.high_type IN ('integer', 'real') AND r.high BETWEEN -1e40 AND 1e40 THEN CAST(r.high AS REAL) END AS high,
  r.unit AS throughput_unit,
  CASE json_type(r.perf, '$.steady_state') WHEN 'true' THEN 1 WHEN 'false' THEN 0 END AS steady_state,
  COALESCE(
    NULLIF(CAST(json_extract(r.more, '$.driver') AS TEXT), 'N/A'),
    CASE WHEN r.md5 GLOB '[0-9]*.*[0-9]' AND r.md5 NOT GLOB '*[^0-9.]*' AND r.md5 NOT GLOB '*..*' THEN r.md5 END
  ) AS driver,
  s.name AS software,
  h.name AS hardware,
  r.code_link,
  (SELECT group_concat(value, ',') FROM json_each(r.labels)) AS tags,
  r.visible,
  CAST(json_extract(r.more, '$.machine.key') AS TEXT) AS machine,
  CAST(json_extract(r.more, '$.machine.host_name') AS TEXT) AS host_name,
  json_extract(r.perf, '$.data_share') IS NOT NULL AND json_extract(r.perf, '$.statistics') IS NULL AS first_rule
FROM (
  SELECT
    *,
    CASE
      WHEN figure_type IN ('integer', 'real') THEN figure
      WHEN head GLOB '*[0-9]*' AND substr(head, 2) NOT GLOB '*[-+]*' AND head NOT GLOB '*.*.*' AND length(head) <= 41
        AND (rest = '' OR rest GLOB '[A-Za-z_%]*' OR unicode(rest) > 127)
        AND rest NOT GLOB '[eE][0-9]*' AND rest NOT GLOB '[eE][-+][0-9]*'
      THEN CAST(head AS REAL)
    END AS throughput,
    COALESCE(
      CAST(json_extract(perf, '$.throughput_unit') AS TEXT),
      CASE WHEN head <> '' THEN NULLIF(rest, '') END
    ) AS unit
  FROM (
    SELECT
      *,
      substr(figure_text, 1, length(figure_text) - length(ltrim(figure_text, '+-.0123456789'))) AS head,
      ltrim(ltrim(figure_text, '+-.0123456789')) AS rest
    FROM (
      SELECT
        *,
        COALESCE(
          CASE WHEN started GLOB '20[0-9][0-9]-[0-9][0-9]-[0-9][0-9][T ][0-9][0-9]:[0-9][0-9]:[0-9][0-9]*'
            AND date(substr(started, 1, 10), '+0 days') = substr(started, 1, 10) AND substr(started, 12, 2) < '24'
          THEN strftime('%Y-%m-%d %H:%M:%f', started) END,
          create_at
        ) AS run_time,
        CASE figure_type WHEN 'text' THEN trim(figure, char(9, 10, 13, 32)) END AS figure_text
      FROM (
        SELECT
          *,
          json_extract(more, '$.started_utc') AS started,
          json_type(perf, '$.throughput') AS figure_type,
          json_extract(perf, '$.throughput') AS figure,
          json_type(perf, '$.throughput_interval.low') AS low_type,
          json_extract(perf, '$.throughput_interval.low') AS low,
          json_type(perf, '$.throughput_interval.high') AS high_type,
          json_extract(perf, '$.throughput_interval.high') AS high
        FROM (
          SELECT
            *,
            CASE WHEN json_valid(performance) THEN performance END AS perf,
            CASE WHEN json_valid(extra) THEN extra END AS more,
            CASE WHEN json_valid(hyper_params) THEN hyper_params END AS hyper,
            CASE WHEN json_valid(tags) THEN tags END AS labels
          FROM train_results
        )
      )
    )
  )
) r
LEFT JOIN models m ON m.id = r.model_id
LEFT JOIN software_infos s ON s.id = r.soft_info_id
LEFT JOIN hardware_infos h ON h.id = r.hard_info_id
