-- The latest result of each configuration, and how many results the configuration has.
-- Here as below, the inner query's order is the window's: the rows are computed once, and sorted once. Model, device and
-- precision follow from the configuration; a filter on them is applied before the window only where the window names them.
CREATE VIEW gbench_latest AS
SELECT
  id, run_time, age_days, stored_at, run_id, md5, configuration, model, framework, dataset, device, dev_num, batch_size,
  precision, eval_mode, dist_mode, recipe, throughput, low, high, throughput_unit, steady_state, driver, software,
  hardware, code_link, tags, visible, results
FROM (
  SELECT
    r.*,
    row_number() OVER (PARTITION BY configuration, model, device, precision ORDER BY run_time, id) AS results,
    lead(id) OVER (PARTITION BY configuration, model, device, precision ORDER BY run_time, id) AS next_id
  FROM (SELECT * FROM gbench_results ORDER BY configuration, model, device, precision, run_time, id) r
) ranked
WHERE next_id IS NULL
