-- Results of the last 30 days that are slower than what the configuration's results before had. The last 10 before
-- count. The 95 % interval must lie below all of theirs, and the throughput 2 % below their mean: 5 % where there
-- are fewer than 3. A result without an interval is taken to be good to 5 %.
CREATE VIEW gbench_regressions AS
SELECT
  b.id, run_time, age_days, stored_at, run_id, md5, b.configuration, b.model, framework, dataset, b.device, dev_num,
  batch_size, b.precision, eval_mode, dist_mode, recipe, r.throughput, low, r.high, throughput_unit, steady_state, driver,
  software, hardware, code_link, tags, visible, previous_results, previous_mean, previous_low,
  1 - b.throughput / b.previous_mean AS loss_share
FROM (
  SELECT
    id, configuration, model, device, precision, throughput, high,
    count(*) OVER w AS previous_results,
    avg(throughput) OVER w AS previous_mean,
    min(COALESCE(low, 0.95 * throughput)) OVER w AS previous_low
  FROM gbench_results
  WHERE throughput > 0
  WINDOW w AS (
    PARTITION BY configuration, model, device, precision ORDER BY run_time, id ROWS BETWEEN 10 PRECEDING AND 1 PRECEDING
  )
) b
JOIN (
  SELECT
    id, run_time, age_days, stored_at, run_id, md5, framework, dataset, dev_num, batch_size, eval_mode, dist_mode,
    recipe, throughput, low, high, throughput_unit, steady_state, driver, software, hardware, code_link, tags, visible
  FROM gbench_results
  WHERE age_days <= 30
) r ON r.id = b.id
WHERE COALESCE(b.high, 1.05 * b.throughput) < b.previous_low
  AND b.throughput <= CASE WHEN b.previous_results < 3 THEN 0.95 ELSE 0.98 END * b.previous_mean
