-- The latest result of each configuration, and how many results the configuration has.
-- Here as below, the windows run over few columns, and the others are joined to what is left. Model, device and precision
-- follow from the configuration; a filter on them is applied before the window only where the window names them.
CREATE VIEW gbench_latest AS
SELECT
  ranked.id, run_time, age_days, stored_at, run_id, md5, ranked.configuration, ranked.model, framework, dataset,
  ranked.device, dev_num, batch_size, ranked.precision, eval_mode, dist_mode, recipe, throughput, low, high,
  throughput_unit, steady_state, driver, software, hardware, code_link, tags, visible, results
FROM (
  SELECT
    id, configuration, model, device, precision,
    row_number() OVER w AS results,
    lead(id) OVER w AS next_id
  FROM gbench_results
  WINDOW w AS (PARTITION BY configuration, model, device, precision ORDER BY run_time, id)
) ranked
JOIN (
  SELECT
    id, run_time, age_days, stored_at, run_id, md5, framework, dataset, dev_num, batch_size, eval_mode, dist_mode,
    recipe, throughput, low, high, throughput_unit, steady_state, driver, software, hardware, code_link, tags, visible
  FROM gbench_results
) r ON r.id = ranked.id
WHERE next_id IS NULL
