-- Each result that has a throughput, beside the one of the same configuration that ran before it.
CREATE VIEW gbench_trend AS
SELECT
  t.id, run_time, age_days, stored_at, run_id, md5, t.configuration, t.model, framework, dataset, t.device, dev_num,
  batch_size, t.precision, eval_mode, dist_mode, recipe, t.throughput, low, high, throughput_unit, steady_state, driver,
  software, hardware, code_link, tags, visible, previous_id, previous_throughput,
  t.throughput / previous_throughput - 1 AS change_share
FROM (
  SELECT
    id, configuration, model, device, precision, throughput,
    lag(id) OVER w AS previous_id,
    lag(throughput) OVER w AS previous_throughput
  FROM gbench_results
  WHERE throughput > 0
  WINDOW w AS (PARTITION BY configuration, model, device, precision ORDER BY run_time, id)
) t
JOIN (
  SELECT
    id, run_time, age_days, stored_at, run_id, md5, framework, dataset, dev_num, batch_size, eval_mode, dist_mode,
    recipe, low, high, throughput_unit, steady_state, driver, software, hardware, code_link, tags, visible
  FROM gbench_results
) r ON r.id = t.id
